"""Incidents: the life of one, all of them together, and what follows for people. Pure."""
