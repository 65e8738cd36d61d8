"""Liveness: which nodes there are, and which have fallen silent."""
