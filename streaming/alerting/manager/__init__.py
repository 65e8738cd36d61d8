"""The alert manager: makes incidents of candidates, node states and orders. One is active."""
