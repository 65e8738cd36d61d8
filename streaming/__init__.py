"""The always-on workers, and all they share. Knows nothing of Airflow or of how it is installed."""
