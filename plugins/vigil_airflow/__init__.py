"""Vigil for Airflow: hooks, operators and triggers that hand over to `infra` and `streaming`."""
