"""Machines that are reached by SSH: what runs where, connections, systemd and the units of every service."""
