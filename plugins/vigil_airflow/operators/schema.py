"""Brings topics and index templates to what the code declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context

from vigil_airflow.hooks import VigilHook


class CreateTopicsOperator(BaseOperator):
    """Creates the topics of `streaming.kafka.topics` that are missing and reports those that differ.

    Args:
        target: one of `infra.targets.TARGETS` (templated).
    """

    template_fields: Sequence[str] = ("target",)

    def __init__(self, *, target: str = "local", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target

    def execute(self, context: Context) -> None:
        """Creates and checks."""
        from streaming.kafka.admin import ensure_topics

        self.log.info("%s", ensure_topics(VigilHook(self.target).settings))


class InstallIndexTemplatesOperator(BaseOperator):
    """Puts Vigil's index templates into Elasticsearch where they are missing or differ.

    Args:
        target: one of `infra.targets.TARGETS` (templated).
    """

    template_fields: Sequence[str] = ("target",)

    def __init__(self, *, target: str = "local", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target

    def execute(self, context: Context) -> None:
        """Installs and checks."""
        from streaming.elastic.ensure import ensure_templates

        self.log.info("%s", ensure_templates(VigilHook(self.target).settings))
