"""Error reports of a day or a week: what is counted, how it is told, where it is kept. Knows nothing of Airflow."""
