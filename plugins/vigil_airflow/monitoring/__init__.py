"""Airflow as a node like any other: its failures as logs of the service `airflow`, its components' heartbeats.

What is sent goes to accumulator1. Nothing here raises, nothing waits for longer than its bound, and what cannot be
sent is told to the component's own log.
"""
