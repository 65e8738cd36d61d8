"""The detector of dead nodes against fixed time-outs, on the same beats: `python -m benchmarks.detector`.

Nodes beat, by simulation or as they were recorded, and each detector says before each beat how long a silence it
bears. A beat that comes later than that is a false alarm. A node that dies is found so long after its last beat as is
borne then. Then the cost: what the whole monitor takes for 10,000 nodes that beat once a second.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.processes import cost
from infra.local.isolated import isolated_settings
from infra.local.stack import running
from streaming.events import coordinates
from streaming.heartbeat.messages import NodeStatus
from streaming.heartbeat.rhythm import Rhythm
from streaming.heartbeat.states import ACCUMULATOR_SERVICE, DELIVERED_HEADER, State
from streaming.kafka import clients, topics
from streaming.kafka.compacted import read_all
from streaming.kafka.ranges import RangeReader
from streaming.settings import Settings

Log = Callable[[str], None]

DAY_MS = 86_400_000
DEADLINE_MS = 10_000
"""`VIGIL_HEARTBEAT_DEADLINE_S` as it is by default."""

RECORDED = Path(__file__).with_name("beats.json")
"""Milliseconds between the receive times of the beats of real nodes (Vigil's client, one accumulator): forty minutes on
two cores that had other work for up to eleven processes at a time."""

NODES, STEPS = 10_000, 50
WARM_UP_S = 20.0
"""Longer than it takes to learn a rhythm, after which nodes are looked at more often."""
LOAD_S = 30.0
SETTLED_S = 3.0
"""The monitor commits every two seconds."""

# What `--check` insists on.
MOST_OF_A_CORE = 0.5
MOST_OF_THE_DEADLINE = 0.6
MOST_FALSE = {"10 s": 2.0, "5 s": 0.25, "3 s": 0.05, "phi, normal": 0.05}
"""At most so many times the false alarms of others, over all profiles of a second or less."""


class Detector(Protocol):
    """One node's."""

    def bears(self, now_ms: int) -> float:
        """The silence, in ms, from which the node would be called DOWN."""
        ...

    def beat(self, interval_ms: float, now_ms: int) -> None:
        """A beat came so long after the last one."""
        ...


class Fixed:
    """A time-out."""

    def __init__(self, limit_ms: float) -> None:
        self._limit_ms = limit_ms

    def bears(self, now_ms: int) -> float:  # noqa: ARG002
        """See `Detector`."""
        return self._limit_ms

    def beat(self, interval_ms: float, now_ms: int) -> None:
        """Nothing is learned."""


class Normal:
    """Phi-accrual as it is usually built: intervals are normally distributed, deviation at least 100 ms, phi 8."""

    _DEVIATIONS = 5.612
    """So many above the mean phi is 8."""

    def __init__(self) -> None:
        self._beats, self._mean, self._variance = 0, 0.0, 0.0

    def bears(self, now_ms: int) -> float:  # noqa: ARG002
        """See `Detector`."""
        if self._beats < 10:
            return DEADLINE_MS
        return self._mean + self._DEVIATIONS * max(100.0, math.sqrt(self._variance))

    def beat(self, interval_ms: float, now_ms: int) -> None:  # noqa: ARG002
        """Learns by exponential weights, of about the usual window of 100 beats."""
        self._beats += 1
        weight, off = max(1 / self._beats, 0.02), interval_ms - self._mean
        self._mean += weight * off
        self._variance = (1 - weight) * (self._variance + weight * off * off)


class Vigil:
    """What the heartbeat monitor asks, hard deadline included (three own intervals where that is longer)."""

    def __init__(self) -> None:
        self._rhythm, self._mean = Rhythm(), 0.0

    def bears(self, now_ms: int) -> float:
        """See `Detector`."""
        return self._rhythm.down_ms(max(DEADLINE_MS, int(3 * self._mean)), now_ms)

    def beat(self, interval_ms: float, now_ms: int) -> None:
        """Learns as a node of the monitor does."""
        self._mean = self._mean + 0.2 * (interval_ms - self._mean) if self._mean else interval_ms
        self._rhythm.learn(interval_ms, now_ms)


DETECTORS: dict[str, Callable[[], Detector]] = {
    "vigil": Vigil,
    "phi, normal": Normal,
    "3 s": lambda: Fixed(3_000),
    "5 s": lambda: Fixed(5_000),
    "10 s": lambda: Fixed(10_000),
}


def _steady(mean_ms: float, deviation_ms: float) -> Callable[[random.Random], float]:
    return lambda chance: max(1.0, chance.gauss(mean_ms, deviation_ms))


def _pausing(every_beats: float, mean_ms: float) -> Callable[[random.Random], float]:
    def interval(chance: random.Random) -> float:
        pause = chance.expovariate(1 / mean_ms) if chance.random() < 1 / every_beats else 0.0
        return max(1.0, chance.gauss(1_000, 20)) + pause

    return interval


def _lossy(share: float) -> Callable[[random.Random], float]:
    def interval(chance: random.Random) -> float:
        beats = 1
        while chance.random() < share:
            beats += 1
        return beats * 1_000 + chance.gauss(0, 20)

    return interval


PROFILES: dict[str, tuple[float, Callable[[random.Random], float]]] = {
    "steady, 1 s": (1_000, _steady(1_000, 20)),
    "steady, 0.1 s": (100, _steady(100, 10)),
    "steady, 30 s": (30_000, _steady(30_000, 500)),
    "jitter, 1 s +- 50 %": (1_000, lambda chance: chance.uniform(500, 1_500)),
    "heavy tail (Pareto 2.5)": (1_000, lambda chance: 800 + 120 * chance.paretovariate(2.5)),
    "log-normal 0.5": (1_000, lambda chance: chance.lognormvariate(math.log(880), 0.5)),
    "garbage collection, 1 s every 5 min": (1_000, _pausing(300, 1_000)),
    "long pauses, 2.5 s every hour": (1_000, _pausing(3_600, 2_500)),
    "lossy, 5 % of beats": (1_000, _lossy(0.05)),
}
"""Name: the usual interval, and a source of intervals, in ms."""


@dataclass(frozen=True)
class Result:
    """One detector on one profile."""

    profile: str
    detector: str
    false_alarms_a_day: float
    """Of one node."""
    detected_after_s: float
    """Silence after which a dead node is DOWN, in the middle."""
    detected_after_intervals: float
    detected_at_most_s: float
    """At the 99th percentile."""


def simulated(name: str, days: float, seed: int) -> list[float]:
    """Intervals, in ms, of one node for so many days; at most 200,000."""
    mean_ms, source = PROFILES[name]
    chance = random.Random(seed)
    return [source(chance) for _ in range(min(200_000, int(days * DAY_MS / mean_ms)))]


def recorded() -> Iterator[tuple[str, list[float]]]:
    """Intervals of real nodes, by name."""
    yield from json.loads(RECORDED.read_text()).items()


def judged(profile: str, detector: str, intervals: list[float], copies: int = 1) -> Result:
    """Runs a detector over intervals; `copies`: one behind the other so many times."""
    one, now_ms, false, elapsed = DETECTORS[detector](), 0.0, 0, 0.0
    borne: list[float] = []
    for _ in range(copies):
        for number, interval in enumerate(intervals):
            limit = one.bears(int(now_ms))
            if interval > limit:
                false += 1
            if number % 97 == 96:
                borne.append(limit)
            now_ms += interval
            elapsed += interval
            one.beat(interval, int(now_ms))
    middle = statistics.median(borne)
    return Result(
        profile,
        detector,
        false / (elapsed / DAY_MS),
        middle / 1000,
        middle / statistics.fmean(intervals),
        sorted(borne)[int(len(borne) * 0.99)] / 1000,
    )


def measure(days: float, seed: int) -> list[Result]:
    """Every detector on every profile."""
    results = []
    for name in PROFILES:
        intervals = simulated(name, days, seed)
        results += [judged(name, detector, intervals) for detector in DETECTORS]
    for name, intervals in recorded():
        results += [judged(f"recorded: {name}", detector, intervals) for detector in DETECTORS]
    return results


def table(results: list[Result]) -> Table:
    """False alarms of a node in a day / silence until a dead one is found, in seconds and in beat intervals."""
    shown = Table("beats", *DETECTORS, title="False alarms of one node in a day / silence until a dead one is found")
    by_place = {(r.profile, r.detector): r for r in results}
    for profile in dict.fromkeys(r.profile for r in results):
        found = [by_place[profile, detector] for detector in DETECTORS]
        shown.add_row(profile, *map(_cell, found))
    return shown


def _cell(result: Result) -> str:
    after = f"{result.detected_after_s:.1f} s ({result.detected_after_intervals:.1f})"
    return f"{result.false_alarms_a_day:.1f} / {after}"


# --------------------------------------------------------------------------------------------------- what it costs


@dataclass(frozen=True)
class Load:
    """What `NODES` nodes with a beat a second cost the monitor's process, everything included."""

    beats_per_s: float
    share_of_a_core: float
    us_a_beat: float
    rss_mb: float
    behind: int
    """Beats that it had not read a few seconds after the last one."""
    called_down: int
    """Nodes that it told as DOWN, though all beat."""


def measure_load(log: Log) -> Load:
    """A real Kafka, the monitor as a process, and beats from here, as an accumulator would deliver them."""
    home = Path(tempfile.mkdtemp(prefix="vigil-bench-"))
    settings = isolated_settings(home)
    try:
        with running(settings, ("kafka", "heartbeat-monitor"), log) as manager:
            pid = next(s.pid for s in manager.all() if s.name == "heartbeat-monitor")
            assert pid is not None
            beats = Beats(settings)
            log("warming up")
            beats.send(WARM_UP_S)
            before, began, sent = cost(pid), time.monotonic(), beats.sent
            log(f"{NODES:,} nodes, a beat a second each")
            beats.send(LOAD_S)
            after, seconds, count = cost(pid), time.monotonic() - began, beats.sent - sent
            cpu_s = after.cpu_s - before.cpu_s
            time.sleep(SETTLED_S)  # less than it takes to find out that no more beats come
            told = read_all(settings, topics.NODE_STATUS).values()
            down = sum(msgspec.json.decode(value, type=NodeStatus).state is State.DOWN for value in told)
            return Load(count / seconds, cpu_s / seconds, cpu_s / count * 1e6, after.rss_mb, beats.unread(), down)
    finally:
        shutil.rmtree(home, ignore_errors=True)


class Beats:
    """Ten thousand nodes and their accumulator."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = settings.topic(topics.HEARTBEATS)
        self._out = clients.producer(settings.kafka, linger_ms=20, queue_buffering_max_messages=200_000)
        self.sent = 0
        self._rounds = 0

    def send(self, seconds: float) -> None:
        """A fiftieth of the nodes in each fiftieth of a second."""
        due = time.monotonic()
        for step in range(int(seconds * STEPS)):
            due += 1 / STEPS
            for number in range(step % STEPS, NODES, STEPS):
                self._beat(number)
            if step % STEPS == 0:
                self._accumulator_beats()
                self._rounds += 1
            self._out.poll(0)
            time.sleep(max(0.0, due - time.monotonic()))
        self._out.flush(30)

    def unread(self) -> int:
        """What the monitor has not committed."""
        group = self._settings.group("heartbeat-monitor")
        with RangeReader(self._settings) as reader:
            bounds = reader.bounds(self._topic)
            committed = reader.committed(group, self._topic, list(bounds))
        return sum(bound.end - max(committed[p], bound.start) for p, bound in bounds.items())

    def _beat(self, number: int) -> None:
        now_ns = time.time_ns()
        place = coordinates.Coordinates("accumulator1", "bench", self.sent, 0, now_ns, now_ns, "heartbeats.bench")
        self._produce(f"node-{number}", "bench", self._rounds, (coordinates.HEADER, coordinates.encode(place)), now_ns)
        self.sent += 1

    def _accumulator_beats(self) -> None:
        now_ns = time.time_ns()
        header = (DELIVERED_HEADER, str(now_ns // 1_000_000).encode())
        self._produce("accumulator1", ACCUMULATOR_SERVICE, self._rounds, header, now_ns)

    def _produce(self, node: str, service: str, seq: int, header: tuple[str, bytes], now_ns: int) -> None:
        sent = datetime.fromtimestamp(now_ns / 1e9, UTC).isoformat(timespec="milliseconds")
        value = (
            f'{{"node_id":"{node}","message_type":"HEARTBEAT","status":"UP","timestamp":"{sent}",'
            f'"service_name":"{service}","seq":{seq},"instance_id":"{node}-i"}}'
        )
        self._out.produce(self._topic, value, node, headers=[header])


# --------------------------------------------------------------------------------------------------- all of it


def missed(results: list[Result], load: Load | None) -> list[str]:
    """What is promised and was not reached: ratios on the same beats, and the share of a core."""
    found = []
    by_place = {(r.profile, r.detector): r for r in results}
    quick = by_place["steady, 1 s", "vigil"].detected_after_s / by_place["steady, 1 s", "10 s"].detected_after_s
    if quick > MOST_OF_THE_DEADLINE:
        found.append(f"a steady node is found after {quick:.2f} of the deadline, {MOST_OF_THE_DEADLINE} is promised")
    for detector, share in MOST_FALSE.items():
        ours, theirs = (
            sum(r.false_alarms_a_day for r in results if r.detector == name and "30 s" not in r.profile)
            for name in ("vigil", detector)
        )
        if ours > share * theirs:
            found.append(f"{ours:.1f} false alarms, {detector} has {theirs:.1f}; {share:g} times as many are promised")
    if load and load.called_down:
        found.append(f"{load.called_down} nodes that beat were called DOWN")
    if load and load.share_of_a_core > MOST_OF_A_CORE:
        found.append(f"{load.share_of_a_core:.2f} of a core, {MOST_OF_A_CORE} is promised")
    return found


def main() -> int:
    """Prints the table; with `--check`, 1 if something promised is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detector", description=__doc__)
    parser.add_argument("--days", type=float, default=2.0, help="simulated days of each profile (default 2)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-load", action="store_true", help="leave out the monitor's cost, which needs a Kafka")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    parser.add_argument("--check", action="store_true", help="exit 1 if something promised is missed")
    options = parser.parse_args()
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 160)
    results = measure(options.days, options.seed)
    if not options.json:
        console.print(table(results))
    load = None if options.no_load else measure_load(console.log)
    if options.json:
        found = {"detectors": [asdict(r) for r in results], "load": asdict(load) if load else None}
        print(json.dumps(found, indent=2))
    elif load:
        console.print(
            f"{load.beats_per_s:,.0f} beats/s: {load.share_of_a_core:.2f} of a core, {load.us_a_beat:.1f} us a beat, "
            f"{load.rss_mb:.0f} MB resident, {load.behind:,} beats behind at the end, "
            f"{load.called_down} nodes called DOWN"
        )
    failures = missed(results, load)
    for failure in failures if options.check else ():
        console.print(f"[red]missed[/red] {failure}")
    return int(bool(failures)) if options.check else 0


if __name__ == "__main__":
    sys.exit(main())
