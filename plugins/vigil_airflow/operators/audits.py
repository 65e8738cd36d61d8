"""Audits of the nodes and of the pipeline, as tasks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowFailException

from infra.standing import Standing
from infra.targets import DEPLOYED_LAST
from vigil_airflow.hooks import VigilHook
from vigil_airflow.notifier import VigilSlackNotifier

if TYPE_CHECKING:
    from streaming.audit.run import Result
    from streaming.settings import Settings


TEXT_LIMIT = 3_000
"""Characters of a message: ten findings of 250 characters."""


class AuditFailed(AirflowFailException):
    """An audit found what Vigil's own alerts cannot tell, or could not tell what it is for; the text says what."""


def tell_of_the_unexpected(context: Context) -> None:
    """Failure callback: Slack is told of a fault of the audit itself. Of what it found, it tells by itself."""
    if not isinstance(context.get("exception"), AuditFailed):
        VigilSlackNotifier()(context)


class _AuditOperator(BaseOperator):
    """What both audits have in common: the outage that the gate found, the log, and who is told.

    Succeeds also where something is wrong that the platform's own incidents tell of. Fails, and tells Slack by
    `VigilSlackHook`, where they cannot: Kafka or the alert manager is away. What goes on is told once and then every
    hour, in the thread of its message, and its end as well.
    """

    template_fields: Sequence[str] = ("standing", "target")
    ui_color = "#d9d2e9"
    kind = ""

    def __init__(
        self,
        *,
        standing: str = "",
        target: str = DEPLOYED_LAST,
        slack_conn_id: str = "vigil_slack",
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"on_failure_callback": tell_of_the_unexpected} | kwargs)
        self.standing, self.target, self.slack_conn_id = standing, target, slack_conn_id

    def execute(self, context: Context) -> dict[str, object]:
        """Audits; returns verdict, number of findings, and the place of the document."""
        from streaming.audit import telling, text
        from streaming.errors import VigilError

        hook = VigilHook(self.target)
        try:
            result = self._audit(hook, self._outage(hook))
        except VigilError as error:
            failed = text.audit_failed(self.kind, str(error))
            telling.tell(hook.settings, self.kind, [failed], _now_ms(), partial(self._post, hook.settings))
            raise AuditFailed(str(error)) from error
        for line in text.lines(result.audit):
            self.log.info("%s", line)
        self.log.info("document: %s%s", result.file, f" (not indexed: {result.not_indexed})" * bool(result.not_indexed))
        telling.tell(hook.settings, self.kind, result.untold, _now_ms(), partial(self._post, hook.settings))
        if result.untold:
            raise AuditFailed("; ".join(text.sentence(finding) for finding in result.untold[:5]))
        if result.audit.away:
            raise AuditFailed("; ".join(f"{source}: {why}" for source, why in result.audit.away.items()))
        found = result.audit
        return {"verdict": found.verdict.value, "findings": len(found.findings), "document": result.file}

    def _audit(self, hook: VigilHook, outage: dict[str, str]) -> Result:
        raise NotImplementedError

    def _outage(self, hook: VigilHook) -> dict[str, str]:
        """What does not answer, where the gate found the platform down; asked again, since it may be up by now."""
        if self.standing != Standing.DOWN:
            return {}
        answers = {name: hook.platform.probe(hook.service(name), 5.0) for name in ("kafka", "elasticsearch")}
        return {name: answer.reason for name, answer in answers.items() if not answer.ok}

    def _post(self, settings: Settings, words: str, thread: str) -> str:
        from streaming.alerting.receivers.slack.mrkdwn import escaped
        from streaming.errors import VigilError
        from vigil_airflow.slack import VigilSlackHook

        try:
            slack = VigilSlackHook(self.slack_conn_id, settings=settings)
            if slack.configured:
                posted = slack.post(escaped(words, TEXT_LIMIT), thread_ts=thread or None)
                return thread or posted.ts
            self.log.warning("Slack is not set up (docs/airflow.md). It would have been told: %s", words)
        except VigilError as error:
            self.log.error("%s. Slack was to be told: %s", error, words)
        return ""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class AuditNodesOperator(_AuditOperator):
    """Holds inventory, registry, beats, logs and incidents against each other (`streaming.audit.run.audit_nodes`).

    Args:
        standing: what the gate before it returned (templated).
        target: as `infra.targets.reference` takes it (templated).
        slack_conn_id: connection by which Slack is told of what Vigil's own alerts cannot tell.

    Raises:
        AuditFailed: see the text.
        ConfigError: the document cannot be written.
    """

    kind = "heartbeat"

    def _audit(self, hook: VigilHook, outage: dict[str, str]) -> Result:
        from streaming.audit.run import audit_nodes

        return audit_nodes(hook.settings, outage)


class AuditPipelineOperator(_AuditOperator):
    """Reconciles what no earlier audit has proven, and sends canaries (`streaming.audit.pipeline.audit_pipeline`).

    Args:
        canaries: how many logs and alerts are sent.
        standing, target, slack_conn_id: as `AuditNodesOperator`.

    Raises:
        AuditFailed: see the text.
        ConfigError: the document cannot be written.
    """

    kind = "pipeline"

    def __init__(self, *, canaries: int = 5, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.canaries = canaries

    def _audit(self, hook: VigilHook, outage: dict[str, str]) -> Result:
        from streaming.audit.pipeline import audit_pipeline

        with hook.platform.sending() as settings:
            return audit_pipeline(
                settings, outage, canaries=self.canaries, say=lambda words: self.log.info("%s", words)
            )
