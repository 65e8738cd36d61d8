"""This machine as a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra import gates
from infra.gates import Probe
from infra.local.layout import Layout
from infra.local.supervisor import SupervisorManager, last_words
from infra.services import Service, Stage, catalogue
from infra.targets import Kind, Reference, Report
from streaming.settings import Settings


class LocalTarget:
    """See `infra.targets.Target`."""

    reference = Reference(Kind.LOCAL)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.manager = SupervisorManager(settings)
        self.services: Mapping[str, Service] = {service.name: service for service in catalogue(settings)}

    @property
    def home(self) -> Path:
        """The installation's own."""
        return self.settings.home

    brokers = None

    def start(self, name: str, report: Report) -> None:  # noqa: ARG002  nothing takes long here
        """Asks the supervisor."""
        self.manager.start(name)

    def complete(self, stage: Stage, report: Report) -> None:  # noqa: ARG002  nothing takes long here
        """Topics with Kafka, templates with Elasticsearch."""
        if stage is Stage.KAFKA:
            from streaming.kafka.admin import ensure_topics

            ensure_topics(self.settings)
        if stage is Stage.ELASTICSEARCH:
            from streaming.elastic.ensure import ensure_templates

            ensure_templates(self.settings)

    def probe(self, service: Service, timeout_s: float) -> Probe:
        """Asks on loopback."""
        return gates.probe(service, self.settings, timeout_s)

    def last_words(self, name: str) -> tuple[str, list[str]]:
        """From the program's file."""
        file, lines = last_words(Layout(self.settings.home), name)
        return str(file), lines

    @contextmanager
    def sending(self) -> Iterator[Settings]:
        """The same settings: its accumulators listen here."""
        yield self.settings

    def close(self) -> None:
        """Nothing is kept open."""
