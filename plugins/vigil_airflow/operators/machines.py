"""Brings machines to what they are to have, before services are started: each operator is one step of a deployment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

from infra.targets import DEPLOYED_LAST
from streaming.settings import load_settings
from vigil_airflow.hooks import VigilHook

if TYPE_CHECKING:
    from infra.machines.as_target import MachinesTarget


class TakeInventoryOperator(BaseOperator):
    """Takes over an inventory file: from then on its deployment is known to this host.

    Args:
        file: the inventory, JSON or YAML; empty: the one that was taken over the last time (templated).
        deployment: name that the file must have (templated).
        software: how software comes to the machines: `upload` or `packages` (templated).

    Returns: the place where it is kept.

    Raises:
        ConfigError: it cannot be read or used; the text names file, field and remedy.
    """

    template_fields: Sequence[str] = ("file", "deployment", "software")
    ui_color = "#cfe2f3"

    def __init__(self, *, file: str, deployment: str, software: str = "upload", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.file, self.deployment, self.software = file, deployment, software

    def execute(self, context: Context) -> str:
        """Reads and remembers."""
        from infra.machines import known
        from infra.machines.known import Deployed, Origin
        from infra.machines.programs import Software

        settings = load_settings()
        found = known.taken(settings, self.deployment, Path(self.file) if self.file else None)
        for name, machine in found.machines.items():
            self.log.info("%s %s: %s", name, machine.address, ", ".join(machine.roles))
        return str(known.remember(settings, found, Deployed(Origin.INVENTORY, Software(self.software))))


class _MachinesOperator(BaseOperator):
    """Base: a step with the machines of a target (templated)."""

    template_fields: Sequence[str] = ("target",)
    ui_color = "#cfe2f3"

    def __init__(self, *, target: str = DEPLOYED_LAST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target

    @contextmanager
    def _connected(self) -> Iterator[MachinesTarget]:
        from infra.machines.as_target import MachinesTarget

        hook = VigilHook(self.target)
        if not isinstance(hook.platform, MachinesTarget):
            raise AirflowSkipException(f"target {hook.platform.reference} has no machines")
        try:
            yield hook.platform
        finally:
            hook.close()

    @property
    def _report(self) -> Callable[[str], None]:
        return lambda line: self.log.info("%s", line)


class ReachMachinesOperator(_MachinesOperator):
    """Waits until a command runs on each machine; host keys of machines in VirtualBox are pinned from their consoles.

    Args:
        target: as `infra.targets.reference` takes it (templated).

    Raises:
        Unavailable: not in time; the text names the machines and why.
    """

    def execute(self, context: Context) -> None:
        """Waits."""
        from infra.machines import deploying, known

        with self._connected() as platform:
            origin = known.deployed(load_settings(), platform.reference.deployment).origin
            deploying.reach(platform.machines, origin, self._report)


class AwaitFirstBootOperator(_MachinesOperator):
    """Waits until cloud-init is done on each machine. Machines of an inventory need not have it.

    Args:
        target: as `infra.targets.reference` takes it (templated).

    Raises:
        Unavailable: it has failed, or is not done in time; the text has its own words.
    """

    def execute(self, context: Context) -> None:
        """Waits."""
        from infra.machines import deploying, known
        from infra.machines.known import Origin

        with self._connected() as platform:
            if known.deployed(load_settings(), platform.reference.deployment).origin is Origin.INVENTORY:
                raise AirflowSkipException("machines of an inventory were there before; they are not waited for")
            deploying.await_first_boot(platform.machines, self._report)


class InstallSoftwareOperator(_MachinesOperator):
    """Brings the software to each machine, where another one is there or none.

    Args:
        target: as `infra.targets.reference` takes it (templated).

    Raises:
        Unavailable: a package index or a machine cannot be reached, or refuses.
    """

    def execute(self, context: Context) -> None:
        """Makes and brings it."""
        from infra.machines import deploying

        with self._connected() as platform:
            deploying.install(platform.machines, self._report)


class ConfigureMachinesOperator(_MachinesOperator):
    """Brings secrets, certificates, configuration, firewall and units; restarts what runs and reads what was changed.

    Where Kafka's cluster was lost with a machine, another one is made (`infra.machines.repairing.prepare`).

    Args:
        target: as `infra.targets.reference` takes it (templated).

    Raises:
        Unavailable: a machine cannot be reached, or refuses.
    """

    def execute(self, context: Context) -> dict[str, list[str]]:
        """Configures; returns what was changed on each machine."""
        from infra.machines import deploying

        with self._connected() as platform:
            rolled = deploying.configure(platform.machines, self._report)
        return {name: list(one.changed) for name, one in rolled.items()}


class RestoreKafkaOperator(_MachinesOperator):
    """Puts the newest backup into a cluster that was made anew; harmless, and quick, where there was no need of that.

    Args:
        target: as `infra.targets.reference` takes it (templated).

    Raises:
        ConfigError: the backup cannot be used.
        Unavailable: Kafka does not answer.
    """

    def execute(self, context: Context) -> None:
        """Looks, and restores."""
        from infra.machines.repairing import restore_kafka

        with self._connected() as platform:
            restore_kafka(platform.machines, self._report)


class IndexAgainOperator(_MachinesOperator):
    """Has the indexers begin at the oldest record where Elasticsearch came back empty; harmless where it did not.

    Args:
        target: as `infra.targets.reference` takes it (templated).

    Raises:
        Unavailable: Elasticsearch or Kafka does not answer.
    """

    def execute(self, context: Context) -> None:
        """Looks, and resets."""
        from infra.machines.repairing import index_again

        with self._connected() as platform:
            index_again(platform.machines, self._report)


class ImportKibanaObjectsOperator(_MachinesOperator):
    """Brings data views, searches and dashboards into Kibana; skipped, with the reason, where there is none.

    Args:
        target: as `infra.targets.reference` takes it (templated).

    Raises:
        ConfigError, Unavailable: Kibana does not answer, or does not take them.
    """

    def execute(self, context: Context) -> int:
        """Imports; returns how many objects."""
        from infra.machines.kibana import bring_objects, why_skipped

        with self._connected() as platform:
            machines = platform.machines
            if why := why_skipped(machines.inventory, machines.software):
                raise AirflowSkipException(why)
            return bring_objects(machines, self._report).count


class ShowLinksOperator(_MachinesOperator):
    """Tells where everything of a deployment is.

    Args:
        target: as `infra.targets.reference` takes it (templated).

    Returns: addresses by what is there.
    """

    def execute(self, context: Context) -> dict[str, str]:
        """Tells."""
        from infra.machines.links import links

        with self._connected() as platform:
            found = links(platform.machines)
        for what, where in found.items():
            self.log.info("%-22s %s", what, where)
        return found


class DrainOperator(_MachinesOperator):
    """Waits until the workers have read what is in Kafka, after accumulators were stopped and before workers are.

    Args:
        timeout_s: seconds; what is not read then is named.
        target: as `infra.targets.reference` takes it (templated).

    Raises:
        Unavailable: something is left; the text says what, and what to do.
    """

    def __init__(self, *, timeout_s: float = 300.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.timeout_s = timeout_s

    def execute(self, context: Context) -> None:
        """Waits."""
        from infra.draining import await_read

        with self._connected() as platform:
            await_read(platform.settings, self.timeout_s, self._report)


class ExportIndicesOperator(_MachinesOperator):
    """Writes all documents of a deployment to files on this host, where that was asked for; else it is skipped.

    Args:
        wanted: "True" or "False" (templated).
        target: as `infra.targets.reference` takes it (templated).

    Returns: the folder.

    Raises:
        Unavailable: Elasticsearch does not answer.
        ConfigError: the folder cannot be written.
    """

    template_fields: Sequence[str] = ("wanted", "target")

    def __init__(self, *, wanted: str | bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.wanted = wanted

    def execute(self, context: Context) -> str:
        """Exports."""
        from datetime import UTC, datetime

        from streaming.elastic.exporting import export_indices

        if str(self.wanted) != "True":
            raise AirflowSkipException("no export was asked for (parameter export)")
        with self._connected() as platform:
            folder = platform.home / "exports" / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            export_indices(platform.settings, folder, self._report)
        return str(folder)
