"""Saved objects as Kibana stores and exports them: what each type may hold, and nothing else."""
