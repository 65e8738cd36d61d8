"""The matcher: evaluates every log against the rules and emits candidates, each event counted once."""
