"""What a log costs the matcher, by the number of rules: `python -m benchmarks.matching`.

Records of the workload, as Kafka's client hands them out, through all that a matcher does with them but Kafka itself:
coordinates and marks, decoding, evaluation, counting, findings as often as the worker would commit, and their encoding.
Beside it, in the same round, a bare sketch: the least of Python that decides anything about a log. CPU is measured, and
compared within a round, since a machine that others share changes its speed within seconds.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random

import msgspec
import orjson
from confluent_kafka import Message
from rich.console import Console
from rich.table import Table

from benchmarks.rounds import Rounds, Run
from benchmarks.workload import SERVICES, events
from streaming.alerting.matcher.evaluation import Evaluation
from streaming.alerting.matcher.intake import Intake
from streaming.alerting.matcher.marks import Marks
from streaming.alerting.matcher.pace import Pace
from streaming.alerting.matcher.reached import Reached
from streaming.alerting.matcher.worker import BATCH
from streaming.alerting.rules.ruleset import RuleSet
from streaming.events.coordinates import HEADER, Coordinates, encode

RESULTS = Path(__file__).with_name("results")
RULES = (1, 10, 100, 1_000)
ROUNDS = 5
SKETCH = "bare sketch"
FINGERPRINTS = "100 and 10 fingerprints"
PARTITIONS = 6
CHUNK = 1_000
LEAST_OF_THE_SKETCH = 0.1
"""Of the sketch's speed with 100 rules, at least; docs/benchmarks.md says what was seen."""
MOST_FOR_A_THOUSAND = 3.0
"""How many times the cost of ten rules a thousand may have."""

Body = dict[str, object]


def rule_set(count: int, *, shapes: int = 0) -> RuleSet:
    """So many rules of all kinds that look at logs, of which half are about services that are there; and some more that
    look at fingerprints."""
    random = Random(count)
    made = [_rule(number, random) for number in range(count)]
    made += [
        {"kind": "new-template", "where": {"fields": {"service.name": {"equals": SERVICES[n % 5]}}}}
        for n in range(shapes)
    ]
    common = {"severity": "error", "title": "{{ service.name }}: {{ message }}"}
    return RuleSet.model_validate({"rules": [{"id": f"r{n}", **common, **body} for n, body in enumerate(made)]})


def _rule(number: int, random: Random) -> Body:
    service = random.choice([*SERVICES, *(f"other-{random.randrange(100)}" for _ in SERVICES)])
    where: Body
    named = {"service.name": {"equals": service}}
    by_service, by_node = ["service.name"], ["service.name", "service.node.name"]
    errors, word = ["ERROR", "FATAL"], f"{random.choice(_WORDS)} {random.randrange(1_000)}"
    match number % 10:
        case 0:
            return {
                "kind": "match",
                "where": {"levels": errors, "fields": named},
                "group_by": [*by_service, "error.code"],
            }
        case 1:
            found = {"message": {"matches": rf"{word}\d* (failed|refused|timed out)"}}
            return {"kind": "match", "where": {"fields": found}, "group_by": by_service}
        case 2:
            where = {"levels": ["WARN", *errors], "fields": named}
            return {"kind": "threshold", "where": where, "group_by": by_node, "count": 100, "window": "5m"}
        case 3:
            where = {"fields": {"message": {"contains": [word, f"{word} again"]}, **named}}
            return {"kind": "threshold", "where": where, "group_by": by_service, "count": 9, "window": "1m"}
        case 4:
            return {
                "kind": "error-ratio", "where": {"fields": named}, "group_by": by_service, "ratio": 0.1, "window": "5m",
            }  # fmt: skip
        case 5:
            return {
                "kind": "spike", "where": {"levels": errors, "fields": named}, "group_by": ["error.code"],
                "window": "1m", "baseline": "1h",
            }  # fmt: skip
        case 6:
            return {"kind": "absence", "where": {"fields": named}, "group_by": by_node, "window": "10m"}
        case 7:
            return {"kind": "new-value", "where": {"levels": errors, "fields": named}, "field": "error.code"}
        case 8:
            found = {"error.message": {"contains": word}, "error.code": {"prefix": f"E{random.randrange(10)}"}}
            return {"kind": "match", "where": {"levels": errors, "fields": found}, "group_by": by_service}
        case _:
            found = {"http.response.status_code": {"prefix": "5"}, "url.path": {"prefix": f"/v{random.randrange(50)}/"}}
            return {"kind": "threshold", "where": {"fields": found}, "count": 10, "window": "1m"}


_WORDS = ("connection", "request", "session", "items", "entries", "order", "article", "disk", "user", "shard")


def messages(count: int) -> list[Message]:
    """Records of the workload, as a client hands them out."""
    now_ns = time.time_ns()
    made = []
    for number, (_, record) in enumerate(events(count)):
        sequence, position = divmod(number, CHUNK)
        at = Coordinates("accumulator1", "bench", sequence + 1, position, now_ns, now_ns, "bench.load")
        record["timestamp"] = _at(now_ns + number * 1_000)
        made.append(
            Message(
                topic="logs",
                partition=number % PARTITIONS,
                offset=number // PARTITIONS,
                value=orjson.dumps(record),
                headers=[(HEADER, encode(at))],
                timestamp=(2, now_ns // 1_000_000),
            )
        )
    return made


def _at(time_ns: int) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_ns // 1_000_000_000))
    return f"{whole}.{time_ns // 1_000 % 1_000_000:06d}Z"


def evaluate(rules: RuleSet, records: Sequence[Message]) -> Run:
    """All of them through a matcher that begins anew; the first tenth warms it up."""
    marks = Marks()
    intake, evaluation = Intake(marks, Reached()), Evaluation(rules)
    owned = set(range(PARTITIONS))
    pace = Pace(time.process_time())  # as often as a matcher would that has a core for itself
    began = cpu = 0.0
    warm = len(records) // 10 // BATCH * BATCH
    for first in range(0, len(records), BATCH):
        if first == warm:
            began, cpu = time.perf_counter(), time.process_time()
        evaluation.now_ms = time.time_ns() // 1_000_000
        intake.take(records[first : first + BATCH], owned, evaluation)
        now = time.process_time()
        if pace.is_due(now, fires=evaluation.urgent, counts=bool(evaluation), behind=True):
            findings = evaluation.findings()
            for finding in findings:
                msgspec.json.encode(finding)
            marks.moved(evaluation.now_ms)
            marks.saved()
            evaluation.committed()
            pace.committed(now, time.process_time(), len(findings))
    cpu, took = time.process_time() - cpu, time.perf_counter() - began
    if intake.read != len(records):
        raise RuntimeError(f"{intake.read} of {len(records)} logs were evaluated")
    measured = len(records) - warm
    return Run(measured / took, cpu / measured * 1e6)


def sketch(records: Sequence[Message]) -> Run:
    """Decodes each value, looks at two fields and counts: nobody could alert by it."""
    counts: dict[tuple[str, str], int] = {}
    began, cpu = time.perf_counter(), time.process_time()
    for message in records:
        message.partition()
        message.headers()
        log = orjson.loads(message.value() or b"")
        if log["log_level"] in ("ERROR", "FATAL"):
            key = (log["service_name"], log["node_id"])
            counts[key] = counts.get(key, 0) + 1
    cpu, took = time.process_time() - cpu, time.perf_counter() - began
    return Run(len(records) / took, cpu / len(records) * 1e6)


def measure(count: int, rounds: int) -> Rounds:
    """All in turns."""
    records = messages(count)
    sets = {_name(number): rule_set(number) for number in RULES} | {FINGERPRINTS: rule_set(100, shapes=10)}
    found = Rounds()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as the worker's process has it
    for _ in range(rounds):
        found.add(SKETCH, sketch(records))
        for name, rules in sets.items():
            found.add(name, evaluate(rules, records))
    return found


def _name(number: int) -> str:
    return f"{number:,} rule{'s' if number > 1 else ''}"


def table(found: Rounds) -> Table:
    """One line for each number of rules."""
    shown = Table(title="What a log costs the matcher")
    for column in ("", "us CPU", "best", "logs/s a core", "best", "of sketch"):
        shown.add_column(column, justify="left" if not column else "right", no_wrap=not column)
    for name in found.runs:
        cpu, best = found.typical(name).cpu_us, found.best(name).cpu_us
        ratio = 1 / found.cost_against(name, SKETCH)
        shown.add_row(name, f"{cpu:.2f}", f"{best:.2f}", f"{1e6 / cpu:,.0f}", f"{1e6 / best:,.0f}", f"{ratio:.2f}")
    return shown


def main() -> int:
    """Prints and stores the figures; with `--check`, 1 if a ratio is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matching", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="size of the workload (default 100,000)")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    parser.add_argument("--check", action="store_true", help="exit 1 if a ratio is missed")
    options = parser.parse_args()
    found = measure(options.events, options.rounds)
    ratios = {
        "100 rules, of the sketch's speed": 1 / found.cost_against(_name(100), SKETCH),
        "cost of 1,000 rules, to that of 10": found.cost_against(_name(1_000), _name(10)),
    }
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    written = json.dumps({"machine": machine, **asdict(found), "ratios": ratios}, indent=2) + "\n"
    if options.json:
        sys.stdout.write(written)
    else:
        Console().print(table(found))
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"matching-{time.strftime('%Y-%m-%dT%H-%M-%SZ', time.gmtime())}.json"
        path.write_text(written)
        print(f"written to {path}")
    first, second = ratios.values()
    return int(options.check and (first < LEAST_OF_THE_SKETCH or second > MOST_FOR_A_THOUSAND))


if __name__ == "__main__":
    sys.exit(main())
