"""`python -m benchmarks.takeover`: the active manager is killed; how long until its standby has alerted."""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from confluent_kafka import Producer
from rich.console import Console
from rich.table import Table

from benchmarks.processes import cost
from infra.local.isolated import as_environment, isolated_settings
from infra.local.stack import running
from streaming.alerting.messages import Candidate, Incident, IncidentState, Notification, Sample, Severity
from streaming.events.model import Level
from streaming.kafka import clients, topics
from streaming.kafka.admin import ensure_topics
from streaming.settings import Settings

INCIDENTS = 100_000
ROUNDS = 5
LIMIT_S = 5.0
"""From SIGKILL until a candidate that was written at that moment is a notification: 3 s of session, half a second of
heartbeat, and the rest of the state to read and to take in."""
ARRIVES_WITHIN_S = 60.0


@dataclass(frozen=True)
class Takeover:
    """One kill: seconds until the notification, and the new manager's memory."""

    seconds: float
    rss_mb: float


def main() -> None:
    """Measures, prints, and with `--check` fails on a median above the limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.takeover", description=__doc__)
    parser.add_argument("--incidents", type=int, default=INCIDENTS, help="open incidents to restore")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often the active manager is killed")
    parser.add_argument("--check", action="store_true", help=f"fail when the median is over {LIMIT_S:g} s")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    wanted = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="vigil-takeover-"))
    try:
        settings = isolated_settings(home)
        with running(settings, ("kafka",), lambda line: print(line, file=sys.stderr)):
            ensure_topics(settings)
            found = measure(settings, wanted.incidents, wanted.rounds)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    median = statistics.median(one.seconds for one in found)
    if wanted.json:
        rounds = [asdict(one) for one in found]
        print(msgspec.json.encode({"incidents": wanted.incidents, "median_s": median, "rounds": rounds}).decode())
    else:
        table = Table("kill", "until the alert", "memory", title=f"Takeover with {wanted.incidents:,} open incidents")
        for number, one in enumerate(found, 1):
            table.add_row(str(number), f"{one.seconds:.2f} s", f"{one.rss_mb:.0f} MB")
        Console().print(table)
    if wanted.check and median > LIMIT_S:
        sys.exit(f"takeover: median {median:.2f} s, limit {LIMIT_S:g} s")


def measure(settings: Settings, incidents: int, rounds: int) -> list[Takeover]:
    """Kills the active manager again and again; each time the standby is warm and a new one takes its place."""
    _fill(settings, incidents)
    managers = {slot: _start(settings, slot) for slot in (0, 1)}
    try:
        # Without a group: it sees the end from now on.
        with closing(_Notifications(settings)) as notifications:
            notifications.wait_for(_ask(settings, "first"))
            found = []
            for number in range(rounds):
                active = _active(settings, managers)
                _await_role(settings, 1 - active, "standby")
                managers[active].kill()
                killed = time.monotonic()
                managers[active].wait()
                notifications.wait_for(_ask(settings, f"round-{number}"))
                seconds = time.monotonic() - killed
                found.append(Takeover(round(seconds, 2), round(cost(managers[1 - active].pid).rss_mb, 1)))
                managers[active] = _start(settings, active)
        return found
    finally:
        for process in managers.values():
            process.terminate()
        for process in managers.values():
            process.wait(15)


def _fill(settings: Settings, count: int) -> None:
    """Writes open incidents, as a manager would have left them."""
    out = clients.producer(settings.kafka, linger_ms=50)
    now_ms = time.time_ns() // 1_000_000
    for number in range(count):
        group = {"service.name": f"service-{number % 997}", "error.code": f"E-{number}"}
        message = f"payment {number} was refused by the gateway after 3 attempts within 1500 ms"
        incident = Incident(
            incident_id=f"I{number:09d}",
            incident_key=f"error-log|error.code=E-{number}|service.name=service-{number % 997}",
            rule_id="error-log",
            group=group,
            severity=Severity.ERROR,
            title=message[:150],
            state=IncidentState.FIRING,
            version=2,
            count=3,
            opened_ms=now_ms,
            first_ms=now_ms,
            last_ms=now_ms,
            updated_ms=now_ms,
            last_received_ms=now_ms,
            sample=Sample(
                timestamp_ms=now_ms,
                level=Level.ERROR,
                message=message,
                service=group["service.name"],
                node_id=f"node-{number % 50}",
                log_id=f"log-{number}",
            ),
            resolve_after_s=86_400.0,
            notified_version=2,
            notified_ms=now_ms,
        )
        out.produce(
            settings.topic(topics.INCIDENT_STATE), key=incident.incident_id, value=msgspec.json.encode(incident)
        )
        out.poll(0)
    if out.flush(60):
        raise RuntimeError("Kafka did not take the incidents within 60 s")


def _ask(settings: Settings, code: str) -> str:
    """Writes a candidate whose notification is waited for."""
    now_ms = time.time_ns() // 1_000_000
    sample = Sample(timestamp_ms=now_ms, level=Level.FATAL, message=code, service="probe", node_id="n", source=code)
    candidate = Candidate(
        rule_id="probe",
        group={"error.code": code},
        severity=Severity.CRITICAL,
        title=code,
        count=1,
        first_ms=now_ms,
        last_ms=now_ms,
        received_ms=now_ms,
        sample=sample,
        resolve_after_s=86_400.0,
    )
    out: Producer = clients.producer(settings.kafka, linger_ms=0)
    out.produce(settings.topic(topics.CANDIDATES), key=candidate.incident_key, value=msgspec.json.encode(candidate))
    if out.flush(30):
        raise RuntimeError("Kafka did not take the candidate within 30 s")
    return code


class _Notifications:
    """Reads topic `notifications` from its beginning."""

    def __init__(self, settings: Settings) -> None:
        self._in = clients.consumer(settings.kafka, settings.group("takeover"), fetch_wait_max_ms=10)
        self._in.subscribe([settings.topic(topics.NOTIFICATIONS)])
        self._titles: set[str] = set()

    def wait_for(self, title: str) -> None:
        """Returns when a notification with this title is there."""
        deadline = time.monotonic() + ARRIVES_WITHIN_S
        while title not in self._titles:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no notification of {title} within {ARRIVES_WITHIN_S:g} s")
            message = self._in.poll(0.05)
            if message is not None and message.error() is None:
                self._titles.add(msgspec.json.decode(message.value() or b"", type=Notification).incident.title)

    def close(self) -> None:
        self._in.close()


def _start(settings: Settings, slot: int) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-m", "streaming.alerting.manager", "--slot", str(slot)],
        env={**os.environ, **as_environment(settings)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _await_role(settings, slot, "")
    return process


def _role(settings: Settings, slot: int) -> str:
    """`active`, `standby`, or empty while it does not answer."""
    try:
        url = f"http://{settings.bind_host}:{settings.health_port('manager', slot)}/health"
        with urllib.request.urlopen(url, timeout=2) as answer:
            text = answer.read()
    except OSError:
        return ""
    return next((role for role in ("active", "standby") if f'"{role}"'.encode() in text), "")


def _await_role(settings: Settings, slot: int, role: str) -> None:
    deadline = time.monotonic() + ARRIVES_WITHIN_S
    for _ in itertools.count():
        if (found := _role(settings, slot)) and role in ("", found):
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"manager {slot} is not {role or 'there'} within {ARRIVES_WITHIN_S:g} s")
        time.sleep(0.1)


def _active(settings: Settings, slots: dict[int, subprocess.Popen[bytes]]) -> int:
    deadline = time.monotonic() + ARRIVES_WITHIN_S
    while time.monotonic() < deadline:
        for slot in slots:
            if _role(settings, slot) == "active":
                return slot
        time.sleep(0.1)
    raise RuntimeError("no manager is active")


if __name__ == "__main__":
    main()
