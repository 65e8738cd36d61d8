"""`infra.service_manager.ServiceManager` for machines: systemd over SSH."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from infra.local.supervisor import readable
from infra.machines.inventory import Inventory
from infra.machines.placement import START_ORDER, Instance
from infra.machines.programs import Software, command
from infra.machines.ssh import Connections
from infra.machines.sudo_commands import (
    FEW_LINES,
    MANY_LINES,
    UnitVerb,
    journal_command,
    sudo,
    unit_command,
)
from infra.machines.systemctl import VERSION_COMMAND, Shown, ended_by_itself, read, show_command, status, version
from infra.machines.units import KAFKA_STOP_WITHIN_S
from infra.machines.unreachable import CommandFailed, MachineUnavailable
from infra.service_manager import RunState, ServiceStatus
from streaming.errors import Unavailable

STOP_ANSWER_S = KAFKA_STOP_WITHIN_S + 20.0
"""The slowest unit's TimeoutStopSec, KILL, and some seconds of a busy machine."""

STOPS, CANCELED = 5, "canceled"
"""A unit that starts by itself meanwhile, and wants this one, cancels its stop. While Kafka takes up to 40 s to stop, a
worker that fails for its absence comes again and again."""

JOURNAL_BYTES = 4 * 1024 * 1024
LAST_LINES = 3

_WORST_FIRST = (RunState.FAILED, RunState.STOPPED, RunState.STARTING, RunState.RUNNING)


@dataclass(frozen=True)
class Seen:
    """One service on one machine: its status, or why the machine could not be asked."""

    instance: Instance
    status: ServiceStatus | MachineUnavailable


class SystemdManager:
    """The services of a deployment's machines, by the names of the catalogue.

    A service may be on several machines: Kafka on each broker, alerting workers beside their standbys. Its name means
    all of them: a start, stop or restart is done on every machine, and the status is that of the worst one, whose
    machine its detail names; so a service runs only where it runs wherever it belongs, and a start repairs just what
    does not. `SERVICE@MACHINE` means one of them. Where a service is on one machine alone the two are the same.

    Calls for several machines go to all of them at once, but for `restart`, which takes one after the other. What a
    machine that is away leaves undone on it is an error; what was done on the others stays done.

    Services that this way of software does not have (Kibana, where it is uploaded) are none of these.

    Any thread may call.

    Raises:
        streaming.errors.Unavailable: a machine that the service is on cannot be reached (`MachineUnavailable`), or its
            systemd refuses.
        KeyError: no service of that name, or not on that machine.
    """

    def __init__(self, inventory: Inventory, connections: Connections, software: Software = Software.UPLOAD) -> None:
        self._placement = tuple(
            one
            for one in inventory.placement
            if command(one, inventory.machines[one.machine].address, software) is not None
        )
        self._connections = connections

    @property
    def services(self) -> tuple[str, ...]:
        """Every service that these machines have, in start order."""
        return tuple(name for name in START_ORDER if any(one.service == name for one in self._placement))

    def instances(self, machine: str) -> tuple[Instance, ...]:
        """What a machine has of them, in start order."""
        return tuple(one for one in self._placement if one.machine == machine)

    def start(self, name: str) -> None:
        """Asks for a start where it does not run, and returns. One that waits for its next attempt is started at once;
        one that was given up is tried anew."""
        self._each(self._named(name), self._start)

    def stop(self, name: str) -> None:
        """Stops it (TERM, after its time-out KILL) and returns when it has ended."""
        self._each(self._named(name), self._stop)

    def restart(self, name: str) -> None:
        """Stop, then start; machine by machine, without waiting for health in between."""
        for instance in self._named(name):
            self._stop(instance)
            self._start(instance)

    def status(self, name: str) -> ServiceStatus:
        """State of one, the worst of its machines'. While it is tried again and again, `detail` says what the last
        attempt said."""
        return merged(name, [_known(seen) for seen in self.survey(self._named(name))])

    def all(self) -> list[ServiceStatus]:
        """State of every service, in start order."""
        found = [(seen.instance.service, _known(seen)) for seen in self.survey()]
        return [merged(name, [one for service, one in found if service == name]) for name in self.services]

    def survey(self, instances: Sequence[Instance] | None = None) -> list[Seen]:
        """State of services on each of their machines, by one question to a machine; a machine that is away is an
        answer, not an error."""
        asked = self._placement if instances is None else tuple(instances)
        units = {machine: [one.unit for one in asked if one.machine == machine] for machine in _machines(asked)}
        answers = self._connections.run_each({machine: show_command(names) for machine, names in units.items()})
        shown: dict[str, dict[str, Shown] | MachineUnavailable] = {}
        for machine, answer in answers.items():
            if isinstance(answer, MachineUnavailable):
                shown[machine] = answer
            else:
                shown[machine] = read(answer.text, units[machine])
        return [self._seen(instance, shown[instance.machine]) for instance in asked]

    def logs(self, name: str, lines: int) -> list[str]:
        """The last lines of its journal, the oldest first, at most `MANY_LINES` of each machine; control characters are
        taken out. Where a service is on several machines, each line begins with the machine's name and they come
        machine by machine.

        Raises:
            Unavailable, KeyError: as all.
        """
        instances = self._named(name)
        found = []
        for instance in instances:
            own = [readable_line(line) for line in self._journal(instance, min(lines, MANY_LINES))]
            found += own if len(instances) == 1 else [f"{instance.machine}: {line}" for line in own]
        return found

    def version(self, machine: str) -> int:
        """The version of a machine's systemd (`infra.machines.units.Given.systemd`)."""
        return version(self._connections.check(machine, VERSION_COMMAND, repeatable=True))

    def _named(self, name: str) -> list[Instance]:
        found = [one for one in self._placement if name in (one.service, str(one))]
        if not found:
            raise KeyError(name)
        return found

    def _each(self, instances: Sequence[Instance], act: Callable[[Instance], None]) -> None:
        if len(instances) == 1:
            act(instances[0])
            return
        with ThreadPoolExecutor(len(instances)) as pool:
            done = [pool.submit(act, instance) for instance in instances]
        for one in done:
            one.result()

    def _start(self, instance: Instance) -> None:
        shown = self._show(instance)
        if shown["ActiveState"] == "failed":
            # It counts starts of before, and would refuse this one.
            self._unit(UnitVerb.RESET_FAILED, instance)
        # A start of a unit that waits for its next attempt would wait with it.
        self._unit(UnitVerb.RESTART if shown.waits_to_restart else UnitVerb.START, instance)

    def _stop(self, instance: Instance) -> None:
        for attempt in range(1, STOPS + 1):
            try:
                self._unit(UnitVerb.STOP, instance, STOP_ANSWER_S)
                return
            except Unavailable as error:
                if CANCELED not in str(error) or attempt == STOPS:
                    raise

    def _unit(self, verb: UnitVerb, instance: Instance, timeout_s: float = 30.0) -> None:
        command = sudo(unit_command(verb, instance.unit))
        try:
            self._connections.check(instance.machine, command, timeout_s=timeout_s, repeatable=True)
        except CommandFailed as error:
            raise Unavailable(f"{instance}: systemd refuses to {verb} it: {error.said or error}") from error

    def _show(self, instance: Instance) -> Shown:
        text = self._connections.check(instance.machine, show_command([instance.unit]), repeatable=True)
        return read(text, [instance.unit])[instance.unit]

    def _seen(self, instance: Instance, shown: dict[str, Shown] | MachineUnavailable) -> Seen:
        if isinstance(shown, MachineUnavailable):
            return Seen(instance, shown)
        one = shown[instance.unit]
        last: list[str] = []
        if ended_by_itself(one):
            try:
                last = last_words(self._journal(instance, FEW_LINES))
            except MachineUnavailable as error:
                return Seen(instance, error)
        return Seen(instance, status(instance, one, last))

    def _journal(self, instance: Instance, lines: int) -> list[str]:
        command = sudo(journal_command(instance.unit, FEW_LINES if lines <= FEW_LINES else MANY_LINES))
        done = self._connections.run(instance.machine, command, most_bytes=JOURNAL_BYTES, repeatable=True)
        if done.status != 0:
            raise Unavailable(f"{instance}: its journal cannot be read: {done.said}")
        found = [line for line in done.text.splitlines() if line.strip()]
        return found[-lines:] if lines > 0 else []


def merged(name: str, of_each: Sequence[ServiceStatus]) -> ServiceStatus:
    """The status of a service on several machines: the worst one's, its detail naming the machines that are so."""
    if len(of_each) == 1:
        one = of_each[0]
        return ServiceStatus(name, one.state, one.pid, one.detail, one.started_ms)
    state = next(state for state in _WORST_FIRST if any(one.state is state for one in of_each))
    so = [one for one in of_each if one.state is state]
    details = [f"{one.name.partition('@')[2]}: {one.detail or one.state}" for one in so]
    told = len(so) < len(of_each) or any(one.detail for one in so)
    started = [one.started_ms for one in so if one.started_ms is not None]
    return ServiceStatus(name, state, None, "; ".join(details) if told else "", max(started, default=None))


def readable_line(line: str) -> str:
    """A line of `journalctl -o short-iso` for a person: time, then what the program said, made readable."""
    head, separator, said = line.partition(": ")
    return f"{head.partition(' ')[0]} {readable(said)}" if separator else readable(line)


def last_words(journal: Sequence[str]) -> list[str]:
    """The last that the program itself said in a journal, readable, each once."""
    said = []
    for line in journal:
        head, separator, text = line.partition(": ")
        # `TIME HOST systemd[1]: vigil-x.service: Main process exited` says what the status says already; indented
        # lines are the inside of a traceback.
        if separator and not head.rpartition(" ")[2].startswith("systemd[") and text and not text[0].isspace():
            said.append(readable(text))
    kept = [text for text in said if text and not text.startswith("Traceback (most recent call")]
    return list(dict.fromkeys(reversed(kept[-LAST_LINES:])))[::-1]


def _known(seen: Seen) -> ServiceStatus:
    if isinstance(seen.status, MachineUnavailable):
        raise seen.status
    return seen.status


def _machines(instances: Sequence[Instance]) -> list[str]:
    return list(dict.fromkeys(instance.machine for instance in instances))
