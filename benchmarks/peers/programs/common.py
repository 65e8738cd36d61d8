"""What all peers share: the document they make, and how they are measured."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import orjson


@dataclass
class Task:
    """Read `count` records of `topic` into `index`."""

    bootstrap: str
    topic: str
    url: str
    index: str
    count: int
    group: str = field(default_factory=lambda: f"peer-{time.time_ns()}")


def task() -> Task:
    """From the command line."""
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "topic", "url", "index"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--count", type=int, required=True)
    return Task(**vars(parser.parse_args()))


class Meter:
    """Counts documents that Elasticsearch has taken; the first tenth warms up and does not count."""

    def __init__(self, count: int) -> None:
        self._count, self._done = count, 0
        self._from: tuple[int, float, float] | None = None

    def done(self, documents: int) -> bool:
        """So many more; whether that was all."""
        self._done += documents
        if self._from is None and self._done >= self._count // 10:
            self._from = (self._done, time.perf_counter(), _cpu_s())
        return self._done >= self._count

    def finish(self) -> NoReturn:
        """Prints the figures and ends the process: the frameworks take their time over a stop."""
        begun, at, cpu = self._from or (0, 0.0, 0.0)
        made = self._done - begun
        figures = {
            "per_s": made / (time.perf_counter() - at),
            "cpu_us": (_cpu_s() - cpu) * 1e6 / made,
            "rss_mb": _most_resident_mb(),
        }
        sys.stdout.write(json.dumps(figures) + "\n")
        sys.stdout.flush()
        import os

        os._exit(0)


def _most_resident_mb() -> float:
    """Of this program; `getrusage` counts what its parent had when it forked."""
    with Path("/proc/self/status").open(encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith("VmHWM:"))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@dataclass(slots=True)
class Place:
    """Where a record was read, and its headers."""

    topic: str
    partition: int
    offset: int
    headers: Sequence[tuple[str, bytes]]


def renamed(value: bytes | dict[str, object]) -> dict[str, object]:
    """The fields of a canonical log under their ECS names, as such programs write them: no check, no fallback."""
    log = orjson.loads(value) if isinstance(value, bytes) else value
    made: dict[str, object] = {
        "@timestamp": log["timestamp"],
        "message": log["message"],
        "log": {"level": log["log_level"]},
        "service": {"name": log["service_name"], "node": {"name": log["node_id"]}},
        "event": {},
        "vigil": {"log_id": log["log_id"]},
    }
    if "response_time_ms" in log:
        made["event"]["duration"] = log["response_time_ms"] * 1_000_000
        made["vigil"]["threshold"] = log["threshold_limit_ms"] * 1_000_000
    if "error_details" in log:
        made["error"] = {
            "code": log["error_details"]["error_code"],
            "message": log["error_details"]["error_message"],
        }
    return made


def document(value: bytes | dict[str, object], place: Place) -> dict[str, object]:
    """The same fields as the indexer's document of this record, so that Elasticsearch has the same to do."""
    made = renamed(value)
    _, header = place.headers[0]
    accumulator, incarnation, sequence, position, received, _, _ = header.decode().split(":", 6)
    made["event"] |= {"created": _iso(int(received)), "ingested": _iso(time.time_ns())}
    made["vigil"] |= {
        "dialect": "canonical",
        "time_source": "event",
        "accumulator": accumulator,
        "sequence": int(sequence),
        "position": int(position),
        "source": f"{accumulator}.{incarnation}:{sequence}:{position}",
        "kafka": {"topic": place.topic, "partition": place.partition, "offset": place.offset},
    }
    return made


def _iso(ns: int) -> str:
    return f"{datetime.fromtimestamp(ns / 1e9, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
