"""Task logs in Elasticsearch as well as in local files, which stay what the UI reads first.

Airflow's own Elasticsearch handler reads from Elasticsearch alone, writes a deferred task's lines again each time it
resumes, and holds up the triggerer while Elasticsearch is away. Here a line is written once however often it is sent,
what could not be sent is remembered and sent later, and nothing waits for longer than some seconds.
"""
