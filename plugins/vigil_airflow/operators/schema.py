"""Brings topics and index templates to what the code declares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from typing import Any

from airflow.sdk import BaseOperator, Context

from infra.targets import DEPLOYED_LAST
from vigil_airflow.hooks import VigilHook


class CreateTopicsOperator(BaseOperator):
    """Creates the topics of `streaming.kafka.topics` that are missing, sets back settings that differ, and warns.

    Args:
        target: as `infra.targets.reference` takes it (templated).

    Raises:
        Unavailable: Kafka does not answer.
    """

    template_fields: Sequence[str] = ("target",)

    def __init__(self, *, target: str = DEPLOYED_LAST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target

    def execute(self, context: Context) -> None:
        """Creates and checks."""
        from streaming.kafka.admin import ensure_topics

        hook = VigilHook(self.target)
        report = ensure_topics(hook.settings, brokers=hook.platform.brokers)
        self.log.info("%d topics as declared, %d created", len(report.unchanged), len(report.created))
        for repair in report.repaired:
            self.log.warning("%s: %s was %s, set back to %s", *astuple(repair))
        for drift in report.drift:
            self.log.warning("%s %s", drift.topic, drift.difference)


class InstallIndexTemplatesOperator(BaseOperator):
    """Puts Vigil's index templates into Elasticsearch where they are missing or differ.

    Args:
        target: as `infra.targets.reference` takes it (templated).

    Raises:
        VigilError: Elasticsearch does not answer, or refuses.
    """

    template_fields: Sequence[str] = ("target",)

    def __init__(self, *, target: str = DEPLOYED_LAST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target

    def execute(self, context: Context) -> None:
        """Installs and checks."""
        from streaming.elastic.ensure import ensure_templates

        report = ensure_templates(VigilHook(self.target).settings)
        self.log.info("%s was %s", report.template, "created" if report.created else "there")
        for repaired in report.drift:
            self.log.warning("repaired %s", repaired)
        for left in report.unrepairable:
            self.log.warning("differs, and cannot be repaired in an existing index: %s", left)
