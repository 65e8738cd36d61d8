"""Alerting without servers: the live engine with a simulated clock, over stored logs or those of a test."""
