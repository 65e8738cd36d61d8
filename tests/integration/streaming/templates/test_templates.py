"""The templates worker as a real process, told by a real announcer, and the command that reads its map."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import cast

import msgspec
import pytest

from streaming.elastic import bulk
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import ensure_templates
from streaming.events.ecs import date_text
from streaming.fingerprint.shapes import fingerprint
from streaming.kafka import clients
from streaming.kafka import topics as catalogue
from streaming.kafka.admin import TopicReport
from streaming.kafka.compacted import read_all
from streaming.settings import CHECKOUT, Settings
from streaming.templates.announce import Announcer
from streaming.templates.messages import SUMMARY_KEY, Placed, Shape

WITHIN_S = 40.0
RESIDENT_LIMIT_MB = 60


class Lab:
    """One worker and one announcer."""

    def __init__(self, settings: Settings, environment: dict[str, str], launch: Callable[..., subprocess.Popen[bytes]]):
        self.settings, self.environment = settings, environment
        self._launch = launch
        self.announcer = Announcer.connected(settings)
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        self.process = self._launch("streaming.templates", environment=self.environment)
        return self.process

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def see(self, *messages: str) -> None:
        for message in messages:
            self.announcer.note(fingerprint(message), message, time.time_ns())
        self.announcer.close()

    def placed(self) -> dict[str, Placed]:
        values = read_all(self.settings, catalogue.TEMPLATES)
        values.pop(SUMMARY_KEY, None)
        return {p.fingerprint: p for p in (msgspec.json.decode(v, type=Placed) for v in values.values())}

    def template_of(self, message: str) -> str:
        found = self.placed().get(fingerprint(message))
        return "" if found is None else found.text

    def healthy(self) -> bool:
        url = f"http://127.0.0.1:{self.settings.health_port('templates')}/health"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return int(answer.status) == 200
        except OSError:
            return False


@pytest.fixture
def lab(
    settings: Settings,
    topics: TopicReport,
    environment: dict[str, str],
    launch: Callable[..., subprocess.Popen[bytes]],
) -> Lab:
    return Lab(settings, environment, launch)


def test_shapes_become_templates_and_a_killed_worker_goes_on(
    lab: Lab, wait_until: Callable[..., object], settings: Settings
) -> None:
    wait_until(lab.healthy, WITHIN_S, "the worker is healthy")
    lab.see("user eve logged in from 10.0.0.1", "user bob logged in from 10.0.0.2", "shutdown requested")
    wait_until(lambda: lab.template_of("shutdown requested") == "shutdown requested", WITHIN_S, "shapes are placed")
    before = lab.placed()
    lab.kill()
    lab.see(*(f"user {name} logged in from 10.0.0.3" for name in ("dan", "ann", "zoe", "kim")))
    lab.see("never mind")
    lab.announcer._producer.produce(settings.topic(catalogue.FINGERPRINTS), None, fingerprint("never mind"))
    lab.announcer.close()
    lab.start()
    merged = "user <*> logged in from <*>"
    wait_until(lambda: lab.template_of("user eve logged in from 1") == merged, WITHIN_S, "all are one template")
    after = lab.placed()
    assert [p.text for p in after.values()].count(merged) == 6
    shutdown = fingerprint("shutdown requested")
    assert after[shutdown] == before[shutdown], "what did not change was left alone"
    assert fingerprint("never mind") not in after, "what was dropped while nobody looked does not come in again"
    assert _resident_mb(lab.process.pid) < RESIDENT_LIMIT_MB


def test_an_unreadable_record_stops_nothing(lab: Lab, wait_until: Callable[..., object], settings: Settings) -> None:
    lab.announcer._producer.produce(settings.topic(catalogue.FINGERPRINTS), b"{", "0" * 16)
    lab.see("config reloaded 5 times")
    wait_until(lambda: lab.template_of("config reloaded 6 times"), WITHIN_S, "what comes after it is placed")
    shapes = read_all(settings, catalogue.FINGERPRINTS)
    known = msgspec.json.decode(shapes[fingerprint("config reloaded 6 times").encode()], type=Shape)
    assert known.example == "config reloaded 5 times"


def _resident_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024


# ------------------------------------------------------------------------------------------ vigil templates


LOGS = (
    [("INFO", "order", f"login of {name} from 10.0.0.{n}") for n, name in enumerate(["eve", "bob", "dan", "ann"])]
    + [("ERROR", "payment", f"card refused by \x1b[2J {n}") for n in range(3)]
    + [("WARN", "order", "never announced")]
)


@pytest.fixture
def indexed(settings: Settings) -> Iterator[Connection]:
    """`LOGS` as documents that carry their fingerprints."""
    connection = Connection(settings.elastic)
    ensure_templates(settings, connection)
    index = f"{settings.index_prefix}-logs-default-2026.11.25"
    assert connection.request("PUT", f"/{index}").status == 200
    line = bulk.create_line(index)
    items = [bulk.item(line, b"%d" % number, _document(*log)) for number, log in enumerate(LOGS)]
    assert bulk.send(connection, items).status == 200
    assert connection.request("POST", f"/{index}/_refresh").status == 200
    yield connection
    connection.close()


def _document(level: str, service: str, message: str) -> bytes:
    document = {
        "@timestamp": date_text(time.time_ns()),
        "message": message,
        "log": {"level": level},
        "service": {"name": service},
        "vigil": {"fingerprint": fingerprint(message)},
    }
    return json.dumps(document).encode()


def _vigil(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.cli", "templates", *arguments]
    return subprocess.run(command, env=lab.environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=60)


def test_the_command_counts_by_template(lab: Lab, indexed: Connection, wait_until: Callable[..., object]) -> None:
    lab.see(*(message for _, _, message in LOGS if message != "never announced"))
    merged = "login of <*> from <*>"
    wait_until(lambda: lab.template_of(LOGS[0][2]) == merged, WITHIN_S, "logins are one template")

    found = _vigil(lab, "--since", "1h", "--json")
    assert found.returncode == 0, found.stderr
    lines = [cast(dict[str, object], json.loads(line)) for line in found.stdout.splitlines()]
    assert [(line["text"], line["count"], line["levels"], line["services"]) for line in lines] == [
        (merged, 4, {"INFO": 4}, {"order": 4}),
        ("card refused by \x1b[<*>", 3, {"ERROR": 3}, {"payment": 3}),
        (None, 1, {"WARN": 1}, {"order": 1}),
    ]
    assert len(cast(list[str], lines[0]["fingerprints"])) == 4

    table = _vigil(lab, "--since", "1h", "--examples")
    assert "\x1b" not in table.stdout, "a log must not speak to the terminal"
    assert "card refused by \\x1b[<*>" in table.stdout
    assert "e.g. card refused by \\x1b[2J 0" in table.stdout
    assert "(other:" in table.stdout

    only = _vigil(lab, "--since", "1h", "--level", "ERROR", "--new", "--json")
    assert [json.loads(line)["count"] for line in only.stdout.splitlines()] == [3]
    none = _vigil(lab, "--since", "1h", "--service", "nobody")
    assert (none.returncode, none.stdout) == (0, "")
    assert "No templates in" in none.stderr


def test_the_whole_way_from_a_log(
    lab: Lab,
    settings: Settings,
    launch: Callable[..., subprocess.Popen[bytes]],
    wait_until: Callable[..., object],
) -> None:
    launch("streaming.indexer", environment=lab.environment)
    out = clients.producer(settings.kafka)
    for number, name in enumerate(("eve", "bob", "dan")):
        record = {
            "log_id": str(number),
            "node_id": "order-1",
            "service_name": "order",
            "message_type": "LOG",
            "log_level": "WARN",
            "message": f"stock of {name} is {number} below the least",
            "timestamp": date_text(time.time_ns()),
        }
        out.produce(settings.topic(catalogue.LOGS), json.dumps(record), "order-1")
    assert out.flush(10) == 0
    merged = "stock of <*> is <*> below the least"
    wait_until(lambda: lab.template_of("stock of eve is 5 below the least") == merged, WITHIN_S, "the map has it")

    def counted() -> list[tuple[str, int]]:
        found = _vigil(lab, "--since", "1h", "--service", "order", "--json")
        return [(line["text"], line["count"]) for line in map(json.loads, found.stdout.splitlines())]

    wait_until(lambda: counted() == [(merged, 3)], WITHIN_S, "all three are counted")
