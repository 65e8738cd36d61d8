"""Which rules a log concerns: rules compiled and indexed, so that a log costs next to nothing for each rule more."""
