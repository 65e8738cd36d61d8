"""What a matcher tells, on a real Kafka: exactly once whatever is killed, and how far it has read."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from streaming.alerting.messages import Candidate, Count, Finding, Progress, Recovery, Seen
from streaming.kafka import topics
from streaming.kafka.ranges import RangeReader

if TYPE_CHECKING:
    from tests.support.alert_path import AlertPath

WaitUntil = Callable[[Callable[[], object], float, str], object]

RULES = """
rules:
  - {id: fatal, kind: match, where: {levels: [FATAL]}, severity: error, title: t, group_by: [service.name],
     resolve_when: {fields: {message: {equals: healthy}}}}
  - {id: many, kind: threshold, where: {levels: [ERROR]}, severity: error, title: t, group_by: [error.code], count: 5,
     window: 5m}
  - {id: share, kind: error-ratio, severity: error, title: t, group_by: [service.name], ratio: 0.5, window: 5m}
  - {id: gone, kind: absence, where: {}, severity: error, title: t, group_by: [service.name], window: 5m}
  - {id: code, kind: new-value, where: {}, field: error.code, severity: error, title: t}
"""


class Told:
    """All that was committed to `candidates`."""

    def __init__(self, path: AlertPath) -> None:
        self._topic = path.settings.topic(topics.CANDIDATES)
        self._reader = RangeReader(path.settings, "test")

    def findings(self) -> list[Finding]:
        bounds = self._reader.bounds_of(self._topic)
        ranges = {partition: (bound.start, bound.end) for partition, bound in bounds.items()}
        batches = self._reader.read(self._topic, ranges)
        return [msgspec.json.decode(record.value() or b"", type=Finding) for batch in batches for record in batch]

    def counts(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Of each rule and group what matched and what all was."""
        found: Counter[tuple[str, str, str]] = Counter()
        for finding in self.findings():
            if isinstance(finding, Count):
                key = (finding.rule_id, "".join(finding.group.values()))
                found[(*key, "matching")] += sum(matching for _, matching, _ in finding.buckets)
                found[(*key, "all")] += sum(every for _, _, every in finding.buckets)
        return {(r, g): (found[r, g, "matching"], found[r, g, "all"]) for r, g, _ in found}

    def reached_ms(self) -> dict[int, int]:
        """Of each partition how far it was evaluated, as last told."""
        told: dict[int, int] = {}
        for finding in self.findings():
            if isinstance(finding, Progress):
                told |= finding.partitions
        return told


def test_counts_are_exact_though_the_matcher_is_killed(alert_path: AlertPath, wait_until: WaitUntil) -> None:
    alert_path.write_rules(RULES)
    alert_path.start("matcher")
    told, position = Told(alert_path), 0
    errors: Counter[str] = Counter()
    services: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    for _ in range(2):
        for _ in range(600):
            position += 1
            level, service = ("ERROR" if position % 3 else "INFO"), f"s{position % 2}"
            code = f"E{position % 5}"
            alert_path.log_at(position, code, level, service)
            services[service] += 1
            if level == "ERROR":
                errors[code] += 1
                bad[service] += 1
        for repeated in range(position - 20, position + 1):
            alert_path.log_at(repeated, f"E{repeated % 5}", "ERROR" if repeated % 3 else "INFO", f"s{repeated % 2}")
        alert_path.flush()
        wait_until(lambda: told.counts(), 20, "something is counted")
        alert_path.kill("matcher")
        alert_path.start("matcher")
    expected = {("many", code): (count, 0) for code, count in errors.items()}
    expected |= {("share", service): (bad[service], count) for service, count in services.items()}
    expected |= {("gone", service): (count, 0) for service, count in services.items()}
    wait_until(lambda: told.counts() == expected, 20, f"{expected}")
    now_ms = time.time_ns() // 1_000_000
    wait_until(lambda: len([ms for ms in told.reached_ms().values() if ms >= now_ms]) == 6, 20, "all is read")
    assert told.counts() == expected
    seen = {finding.value for finding in told.findings() if isinstance(finding, Seen)}
    assert seen == set(errors) | {f"E{n}" for n in range(5)}


def test_of_what_fires_and_resolves_the_last_is_told_last(alert_path: AlertPath, wait_until: WaitUntil) -> None:
    alert_path.write_rules(RULES)
    told = Told(alert_path)
    for message in ("bad", "healthy", "bad", "bad", "healthy"):
        alert_path._position += 7  # of one node, so that their order holds
        level = "INFO" if message == "healthy" else "FATAL"
        alert_path.log_at(alert_path._position, "E1", level, "order", message)
    alert_path.flush()
    alert_path.start("matcher")

    def found() -> list[Candidate | Recovery]:
        return [finding for finding in told.findings() if isinstance(finding, Candidate | Recovery)]

    wait_until(lambda: len(found()) >= 2, 20, "both are told")
    candidate, recovery = found()[-2:]
    assert isinstance(candidate, Candidate)
    assert isinstance(recovery, Recovery)
    assert sum(one.count for one in found() if isinstance(one, Candidate)) == 3
