"""Operators of Vigil, one module per subject."""
