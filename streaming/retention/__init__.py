"""Retention classes: which logs share an index, and for how long, the same for every reader and at every replay."""
