"""The machines of a deployment as a target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from infra.gates import Probe
from infra.machines import known
from infra.machines.elastic.steps import bring_keys
from infra.machines.gates import probe
from infra.machines.kafka_users import ensure_users
from infra.machines.placement import Role
from infra.machines.programs import Software
from infra.machines.repairing import index_again, restore_kafka
from infra.machines.services import services_of
from infra.machines.systemd import SystemdManager
from infra.machines.target import Machines
from infra.services import Service, Stage
from infra.targets import Kind, Reference, Report
from streaming.elastic.ensure import ensure_templates
from streaming.errors import Unavailable
from streaming.kafka.admin import ensure_topics
from streaming.settings import Settings

LAST_LINES = 4
"""Of each machine's journal: the program's last words, and what systemd says of its end."""

_TEMPLATES_AFTER = {Software.UPLOAD: Stage.ACCESS, Software.PACKAGES: Stage.ELASTICSEARCH}
"""The stage with which this host can reach Elasticsearch: an embedded one by its proxy."""


class MachinesTarget:
    """See `infra.targets.Target`."""

    def __init__(self, reference: Reference, machines: Machines) -> None:
        self.reference, self.machines = reference, machines

    @property
    def home(self) -> Path:
        """The deployment's own folder."""
        return self.machines.folder

    @cached_property
    def settings(self) -> Settings:
        """To the machines' forwards, by TLS."""
        return self.machines.client_settings().model_copy(update={"home": self.home})

    @property
    def manager(self) -> SystemdManager:
        """systemd over SSH."""
        return self.machines.manager

    @cached_property
    def services(self) -> Mapping[str, Service]:
        """Those that have a place on a machine."""
        return services_of(self.machines)

    @property
    def brokers(self) -> int:
        """By the inventory: one that has not shown itself yet would leave topics with too few copies."""
        return len(self.machines.inventory.having(Role.BROKER))

    def start(self, name: str, report: Report) -> None:
        """Asks systemd on each machine of the service. Kafka gets its users, a packaged Elasticsearch its keys: nobody
        could ask their health without."""
        self.manager.start(name)
        if name == "kafka":
            ensure_users(self.machines, report)
        if name == "elasticsearch" and self.machines.software is Software.PACKAGES:
            bring_keys(self.machines, report)
            self.__dict__.pop("settings", None)  # they have a key now

    def complete(self, stage: Stage, report: Report) -> None:
        """Topics with Kafka, templates with the way to Elasticsearch; and what either has lost that came back empty."""
        if stage is Stage.KAFKA:
            ensure_topics(self.settings, brokers=self.brokers)
            restore_kafka(self.machines, report)
        elif stage is _TEMPLATES_AFTER[self.machines.software]:
            ensure_templates(self.settings)
            index_again(self.machines, report)

    def probe(self, service: Service, timeout_s: float) -> Probe:
        """Asks on every machine that has it."""
        return probe(self.machines, service, timeout_s)

    def last_words(self, name: str) -> tuple[str, list[str]]:
        """From the journals, where the machines can be reached."""
        on = ", ".join(one.machine for one in self.machines.inventory.placement if one.service == name)
        place = f"journalctl -u vigil-{name} on {on}"
        try:
            return place, self.manager.logs(name, LAST_LINES)
        except Unavailable:
            return place, []

    @contextmanager
    def sending(self) -> Iterator[Settings]:
        """By a forward through SSH: accumulators listen on their machine's loopback."""
        machine = next(iter(self.machines.inventory.having(Role.COLLECTING)))
        with self.machines.connections.forward(machine, self.settings.accumulator1_port) as port:
            yield self.settings.model_copy(update={"bind_host": "127.0.0.1", "accumulator1_port": port})

    def close(self) -> None:
        """Disconnects from all."""
        self.machines.close()


def target_around(machines: Machines, kind: Kind = Kind.VIRTUALBOX) -> MachinesTarget:
    """That of machines that are at hand already."""
    return MachinesTarget(Reference(kind, machines.inventory.deployment), machines)


def target_of(settings: Settings, name: str) -> MachinesTarget:
    """That of a known deployment.

    Raises:
        ConfigError: none of that name is known.
    """
    return target_around(known.machines(settings, name), Kind(known.deployed(settings, name).origin))
