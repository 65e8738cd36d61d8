"""Counts the last hour's errors by service, once the indexer has caught up, and tells Slack of the worst."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Param, task
from vigil_airflow.notifier import VigilSlackNotifier
from vigil_airflow.sensors import IndexReadySensor, LagBelowSensor

with DAG(
    dag_id="error_watch",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    tags=["vigil"],
    params={"logs": Param("vigil-logs-*", type="string", title="Indices", description="Where the logs are.")},
    # One message for a run that fails, however many of its tasks do.
    on_failure_callback=VigilSlackNotifier("vigil_slack"),
) as dag:
    # Both wait in the triggerer, without a worker slot, and say what they saw last when their time is over.
    caught_up = LagBelowSensor(task_id="indexer_has_caught_up", worker="indexer", below=1_000, timeout=600)
    searchable = IndexReadySensor(task_id="logs_are_searchable", index="{{ params.logs }}")

    @task(retries=2, retry_delay=timedelta(seconds=30))
    def count_errors(logs: str) -> dict[str, int]:
        """Errors of the last hour by service, the worst ten."""
        from vigil_airflow.elastic import VigilElasticsearchHook

        found = VigilElasticsearchHook("vigil_elasticsearch").client.search(
            index=logs,
            size=0,
            query={
                "bool": {
                    "filter": [
                        {"terms": {"log.level": ["ERROR", "FATAL"]}},
                        {"range": {"@timestamp": {"gte": "now-1h"}}},
                    ]
                }
            },
            aggs={"services": {"terms": {"field": "service.name", "size": 10}}},
        )
        return {bucket["key"]: bucket["doc_count"] for bucket in found["aggregations"]["services"]["buckets"]}

    @task
    def tell(errors: dict[str, int]) -> None:
        """One message; without a connection or token for Slack, a line in this task's log."""
        from vigil_airflow.slack import VigilSlackHook

        from streaming.alerting.receivers.slack.mrkdwn import line

        # Names of services come from logs: escaped, so that none of them mentions or links anything.
        lines = [f"{line(service, 80)}: {count:,}" for service, count in errors.items()]
        text = "Errors of the last hour\n" + ("\n".join(lines) or "none")
        slack = VigilSlackHook("vigil_slack")
        if slack.configured:
            slack.post(text)
        else:
            print(text)

    [caught_up, searchable] >> tell(count_errors("{{ params.logs }}"))
