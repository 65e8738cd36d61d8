"""Tries the alert rules on the logs of the last day, by hand and whenever another rule set comes into force."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Asset, AssetWatcher, Param
from vigil_airflow.dag_defaults import TARGET, late_after, on_failure, target_param, task_defaults
from vigil_airflow.operators.backtest import BacktestRulesOperator
from vigil_airflow.operators.gate import PlatformGateOperator
from vigil_airflow.triggers.rule_sets import RuleSetChangedTrigger

from infra.pools import HEAVY

rule_set = Asset("vigil_rule_set", watchers=[AssetWatcher(name="rule_set_changed", trigger=RuleSetChangedTrigger())])

with DAG(
    dag_id="rules_backtest",
    description=__doc__,
    doc_md="""
### Backtest of the alert rules
The live engine with a simulated clock, over the logs that Kafka or Elasticsearch still have: which incidents these
rules would have opened, how many messages they would have sent and to whom, rule by rule; **compared with the rule set
that was tried before**, on the same logs.

* It runs by itself when another rule set comes into force (the matcher says so in topic `rule-sets`), and by hand with
  any rule file: try a rule here before it is in force.
* The **report** (HTML, PDF, JSON) lies in `VIGIL_HOME/reports/backtests`, and goes to Slack where that is set up.
* Broken rules fail the task with file, line, field and remedy.

On a terminal: `vigil rules backtest --since 24h rules/x.yaml`.
""",
    schedule=[rule_set],
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    deadline=late_after(minutes=210),
    on_failure_callback=on_failure(),
    tags=["vigil", "rules"],
    params={
        "since": Param(
            "24h",
            type="string",
            minLength=1,
            title="Since",
            description="Logs that were received from then on: 6h, 24h, 7d ago, or a time (UTC).",
        ),
        "rules": Param(
            "",
            type="string",
            title="Rules",
            description="Folder or file of rules on the machine where Airflow's tasks run. Empty: the configured one.",
        ),
        "compare": Param(
            True,
            type="boolean",
            title="Compare",
            description="Try the rule set of the last backtest on the same logs as well, if it is another.",
        ),
        "target": target_param(),
    },
    default_args=task_defaults(minutes=230),
) as rules_backtest:
    gate = PlatformGateOperator(task_id="platform_is_up", needs=("kafka",), target=TARGET)
    gate >> BacktestRulesOperator(task_id="backtest", target=TARGET, pool=HEAVY)
