"""Logs that were received before, read again from where they lie: for backtests and explanations."""
