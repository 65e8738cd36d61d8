"""Renews the certificates of deployments to machines before they expire, every day."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param
from vigil_airflow.dag_defaults import late_after, on_failure, task_defaults
from vigil_airflow.operators.certificates import RenewCertificatesOperator

with DAG(
    dag_id="renew_certificates",
    description=__doc__,
    doc_md="""
### Renew certificates
Of every deployment to machines that this host knows (`<VIGIL_HOME>/machines/*`), the certificates are renewed of which
**a third of their life or less is left**: a certificate is valid for 90 days and renewed in the last 30 of them, so
thirty daily runs may fail before one expires. The authority itself, valid for ten years, is followed by another one in
its last 3.3 years, which renews everything.

* The new ones are brought to the machines over SSH; only services that read one are **restarted, one after the other**,
  each healthy before the next, a broker only when no copy of a record is missing. The stream runs on.
* Where nothing is due, no machine is asked anything. What a rotation has left half done is finished.
* **It skips** where there is no such deployment, and while one is being deployed, restarted or torn down.
* **It fails** where a machine cannot be reached or a service does not become healthy; what runs goes on with what it
  has, and the next run goes on. Expired certificates are renewed too, here or by `deploy_platform`.
* On the command line: `vigil machines certificates` and `vigil machines renew`.
""",
    schedule="40 3 * * *",
    catchup=False,
    max_active_runs=1,
    # Another authority restarts some 40 services, each within 20 s on a busy host: a quarter of an hour.
    dagrun_timeout=timedelta(hours=3),
    on_failure_callback=on_failure(),
    deadline=late_after(minutes=150),
    tags=["vigil", "machines"],
    params={
        "within_days": Param(
            None,
            type=["null", "number"],
            minimum=0,
            title="Within days",
            description="Also renew what expires within so many days; empty for what is due.",
        )
    },
    default_args=task_defaults(minutes=60, retry_after_s=300.0),
) as renew_certificates:
    RenewCertificatesOperator(task_id="renew_certificates", within_days="{{ params.within_days }}")
