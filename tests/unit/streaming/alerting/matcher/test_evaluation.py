"""Logs in, findings out: exact counts, the same whichever way a log is read, and bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.alerting.fields import bounded, getter
from streaming.alerting.incidents.book import OTHER_GROUPS
from streaming.alerting.matcher import evaluation as evaluating
from streaming.alerting.matcher.clamping import EARLIEST_MS, LATEST_MS, clamped_ms
from streaming.alerting.matcher.evaluation import Evaluation
from streaming.alerting.matcher.findings import Evaluated, evaluated, read_log
from streaming.alerting.matcher.told import SEEN_AGAIN_MS, Told, again_ms
from streaming.alerting.matching import cells
from streaming.alerting.matching.probes import Role, all_probes
from streaming.alerting.messages import Candidate, Count, Finding, Recovery, Seen, incident_key
from streaming.alerting.rules.definition import definition_of
from streaming.alerting.rules.loading import load_texts
from streaming.alerting.rules.new_value import NewTemplateRule, NewValueRule
from streaming.alerting.rules.ruleset import RuleSet
from streaming.events.model import Level, LogEvent
from streaming.fingerprint.masking import mask
from streaming.fingerprint.shapes import fingerprint
from streaming.kafka.records import read_record
from tests.support.fake_message import fake_message
from tests.support.random_rules import rule_sets, values

NOW_MS = 1_795_502_400_000  # 2026-11-24T06:40:00Z
BASE = "severity: info, title: '{{ message }}'"


def rules(*texts: str) -> RuleSet:
    return load_texts([(Path("x.yaml"), "rules: [" + ", ".join(texts) + "]")])


def log(message: str = "m", level: Level = Level.ERROR, service: str = "order", **more: object) -> LogEvent:
    event = LogEvent(timestamp_ns=NOW_MS * 1_000_000, level=level, message=message, service=service)
    return msgspec.structs.replace(event, **more)


def take(evaluation: Evaluation, *logs: LogEvent, received_ms: int = NOW_MS) -> None:
    evaluation.now_ms = received_ms
    for event in logs:
        evaluation.take_event(event, evaluation.arrival(received_ms), Evaluated(event, "a.b:1:0", received_ms))


def told(evaluation: Evaluation) -> list[Finding]:
    found = evaluation.findings()
    evaluation.committed()
    return found


def the_same(one: Sequence[Finding], other: Sequence[Finding]) -> bool:
    def key(finding: Finding) -> bytes:
        return msgspec.json.encode(finding)

    return sorted(map(key, one)) == sorted(map(key, other))


@settings(max_examples=150)
@given(rule_sets(), values(), st.integers(0, 3))
def test_a_log_leads_to_the_same_however_it_is_read(ruleset: RuleSet, records: list[bytes], commits: int) -> None:
    """Straight from the bytes where that is possible, or by way of an event, for every dialect."""
    fast, slow = Evaluation(ruleset), Evaluation(ruleset)
    fast.now_ms = slow.now_ms = NOW_MS
    for offset, value in enumerate(records):
        message = fake_message(value, offset=offset, appended_ms=NOW_MS)
        read = read_log(read_record(message))
        assert fast.take([(message, fast.arrival(NOW_MS))]) == (read is not None)
        if read is not None:
            slow.take_event(read.event, slow.arrival(NOW_MS), read)
        if commits and offset % (3 * commits) == 0:
            assert the_same(told(fast), told(slow))
    assert the_same(fast.findings(), slow.findings())


@settings(max_examples=100)
@given(rule_sets(), values())
def test_everything_is_counted_once_where_it_belongs(ruleset: RuleSet, records: list[bytes]) -> None:
    """Against asking each rule about each log."""
    evaluation = Evaluation(ruleset)
    evaluation.now_ms = NOW_MS
    expected: Counter[tuple[str, str]] = Counter()
    for offset, value in enumerate(records):
        message = fake_message(value, offset=offset, appended_ms=NOW_MS)
        read = read_log(read_record(message))
        evaluation.take([(message, evaluation.arrival(NOW_MS))])
        if read is not None:
            expected.update(plainly(ruleset, read.event))
    found = Counter(dict(counts_of(evaluation.findings())))
    assert sum_by_role(found) == sum_by_role(expected)
    capped = {name.split("|")[0] for _, name in found if incident_key("", OTHER_GROUPS)[1:] in name}
    for (role, name), count in expected.items():
        if name.split("|")[0] not in capped:
            assert (role, name) in found if role == "RESOLVES" else found[role, name] == count, (role, name)


def plainly(ruleset: RuleSet, event: LogEvent) -> Iterable[tuple[str, str]]:
    for probe in all_probes(ruleset.rules):
        if not probe.fits(event):
            continue
        group = {name: bounded(value) for name in probe.rule.group_by if (value := getter(name)(event))}
        role, name = probe.role.name, incident_key(probe.rule.id, group)
        if probe.role is Role.SHOWS_VALUE:
            assert isinstance(probe.rule, NewValueRule)
            value = bounded(getter(probe.rule.field)(event))
            if not value:
                continue
            name += f"|{value}"
        elif probe.role is Role.SHOWS_SHAPE:
            name += f"|{fingerprint(event.message)}"
        yield role, name


def counts_of(findings: Iterable[Finding]) -> Iterable[tuple[tuple[str, str], int]]:
    for finding in findings:
        match finding:
            case Candidate():
                yield ("FIRES", finding.incident_key), finding.count
            case Recovery():
                yield ("RESOLVES", finding.incident_key), 0
            case Count():
                key = incident_key(finding.rule_id, finding.group)
                yield ("COUNTS", key), sum(matching for _, matching, _ in finding.buckets)
                yield ("ARRIVES", key), sum(matching for _, matching, _ in finding.buckets)
                yield ("COUNTS_IN_ALL", key), sum(every for _, _, every in finding.buckets)
            case Seen():
                for role in ("SHOWS_VALUE", "SHOWS_SHAPE"):
                    yield (role, f"{incident_key(finding.rule_id, finding.group)}|{finding.value}"), finding.count


def sum_by_role(counts: Counter[tuple[str, str]]) -> dict[str, int]:
    """Of what was counted, whatever its group. What only was seen or resolves is told once."""
    found: Counter[str] = Counter()
    for (role, name), count in counts.items():
        if role in ("FIRES", "COUNTS_IN_ALL"):
            found[f"{role} {name.split('|')[0]}"] += count
    return {name: count for name, count in found.items() if count}


MATCH = f"{{id: r, kind: match, {BASE}, where: {{levels: [ERROR, FATAL]}}, group_by: [service.name]}}"
RESOLVING = (
    f"{{id: r, kind: match, {BASE}, where: {{levels: [ERROR]}}, group_by: [service.name],"
    " resolve_when: {fields: {message: {contains: healthy}}}}"
)


def test_a_flood_of_one_group_is_one_candidate() -> None:
    evaluation = Evaluation(rules(MATCH))
    for number in range(500):
        take(evaluation, log(f"m{number}", timestamp_ns=(1000 - number) * 1_000_000))
    assert evaluation.urgent
    (candidate,) = told(evaluation)
    assert isinstance(candidate, Candidate)
    assert (candidate.count, candidate.first_ms, candidate.last_ms) == (500, 501, 1000)
    assert (candidate.sample.message, candidate.title) == ("m499", "m499")
    assert not evaluation
    assert not evaluation.urgent


def test_the_latest_of_the_worst_level_is_shown() -> None:
    evaluation = Evaluation(rules(MATCH))
    take(evaluation, log("a", Level.FATAL), log("b", Level.FATAL), log("c"))
    (candidate,) = told(evaluation)
    assert isinstance(candidate, Candidate)
    assert (candidate.sample.message, candidate.count) == ("b", 3)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (["bad"], [1]),
        (["healthy"], [0]),
        (["bad", "healthy"], [1, 0]),
        (["healthy", "bad"], [0, 1]),
        (["bad", "healthy", "bad"], [0, 2]),
        (["healthy", "bad", "healthy"], [1, 0]),
        (["healthy", "bad", "bad", "healthy", "bad"], [0, 3]),
    ],
)
def test_of_firing_and_resolving_the_last_holds(messages: list[str], expected: list[int]) -> None:
    """0 stands for the recovery, other numbers for the count of the candidate."""
    evaluation = Evaluation(rules(RESOLVING))
    for message in messages:
        take(evaluation, log(message, Level.INFO if message == "healthy" else Level.ERROR))
    found = told(evaluation)
    assert [finding.count if isinstance(finding, Candidate) else 0 for finding in found] == expected
    assert {finding.rule_id for finding in found if isinstance(finding, Candidate | Recovery)} == {"r"}


def test_what_resolves_waits_for_the_next_commit() -> None:
    evaluation = Evaluation(rules(RESOLVING))
    take(evaluation, log("healthy", Level.INFO))
    evaluation.settle()
    assert evaluation
    assert not evaluation.urgent
    (recovery,) = told(evaluation)
    assert recovery == Recovery(
        rule_id="r", group={"service.name": "order"}, received_ms=NOW_MS, reason="resolve_when: healthy"
    )


def test_a_threshold_is_told_in_buckets_of_clamped_event_time() -> None:
    evaluation = Evaluation(
        rules(f"{{id: r, kind: threshold, {BASE}, where: {{levels: [ERROR]}}, count: 5, window: 10m}}")
    )
    minute = 60_000_000_000
    now = NOW_MS * 1_000_000
    take(evaluation, *(log(timestamp_ns=now - age) for age in (0, 1_000_000_000, 3 * minute, 10**18, -(10**18))))
    assert not evaluation.urgent
    (count,) = told(evaluation)
    assert isinstance(count, Count)
    assert count.buckets == [
        (NOW_MS - LATEST_MS, 1, 0),
        (NOW_MS - 180_000, 1, 0),
        (NOW_MS - 10_000, 1, 0),
        (NOW_MS, 1, 0),
        (NOW_MS + EARLIEST_MS, 1, 0),
    ]
    assert all(start_ms % 10_000 == 0 for start_ms, _, _ in count.buckets)
    assert count.first_ms == NOW_MS - LATEST_MS
    assert 0 <= count.last_ms - (NOW_MS + EARLIEST_MS) < 1_000  # to the second, where the time was clamped
    assert count.sample is not None
    assert count.sample.timestamp_ms == NOW_MS + 10**12


@given(st.integers(-(10**15), 10**15), st.integers(0, 10**13))
def test_a_clamped_time_is_near_the_time_of_receipt(event_ms: int, received_ms: int) -> None:
    clamped = clamped_ms(event_ms, received_ms)
    assert received_ms - LATEST_MS <= clamped <= received_ms + EARLIEST_MS
    assert clamped == event_ms or not received_ms - LATEST_MS <= event_ms <= received_ms + EARLIEST_MS


def test_an_error_ratio_counts_all_and_what_is_an_error() -> None:
    rule = f"{{id: r, kind: error-ratio, {BASE}, where: {{fields: {{service.name: {{equals: [order, payment]}}}}}},"
    evaluation = Evaluation(rules(rule + " group_by: [service.name], ratio: 0.1, window: 1m}"))
    for level, service in [(Level.INFO, "order"), (Level.ERROR, "order"), (Level.INFO, "payment"), (Level.ERROR, "x")]:
        take(evaluation, log(level=level, service=service))
    found = {finding.group["service.name"]: finding for finding in told(evaluation) if isinstance(finding, Count)}
    assert {service: count.buckets for service, count in found.items()} == {
        "order": [(NOW_MS, 1, 2)],
        "payment": [(NOW_MS, 0, 1)],
    }
    assert found["payment"].sample is None
    assert found["order"].sample is not None


def test_absence_counts_by_the_time_of_receipt() -> None:
    evaluation = Evaluation(
        rules(f"{{id: r, kind: absence, {BASE}, where: {{}}, group_by: [service.name], window: 5m}}")
    )
    take(evaluation, log(timestamp_ns=0), log(timestamp_ns=4 * 10**18), received_ms=NOW_MS + 7_500)
    (count,) = told(evaluation)
    assert isinstance(count, Count)
    assert count.buckets == [(NOW_MS + 5_000, 2, 0)]
    assert NOW_MS + 7_000 <= count.first_ms <= count.last_ms < NOW_MS + 8_000


NEW_CODE = (
    f"{{id: r, kind: new-value, {BASE}, where: {{}}, field: error.code, learn_for: 4h, group_by: [service.name]}}"
)
NEW_TRACE = f"{{id: r, kind: new-value, {BASE}, where: {{}}, field: trace.id, learn_for: 4h, group_by: [service.name]}}"


@pytest.mark.parametrize(("text", "field"), [(NEW_CODE, "error_code"), (NEW_TRACE, "trace_id")])
def test_a_value_is_told_once_an_hour_and_only_when_that_was_committed(text: str, field: str) -> None:
    """Also where the field is no part of a log's key."""

    def of(value: str, service: str = "order") -> LogEvent:
        return msgspec.structs.replace(log(service=service), **{field: value})

    evaluation = Evaluation(rules(text))
    take(evaluation, of("A"), of("A"), of("B"), log())
    first = evaluation.findings()
    assert [(seen.value, seen.shown, seen.count) for seen in first if isinstance(seen, Seen)] == [
        ("A", "A", 2),
        ("B", "B", 1),
    ]
    evaluation.clear()  # the transaction was aborted
    take(evaluation, of("A"))
    assert [seen.value for seen in told(evaluation) if isinstance(seen, Seen)] == ["A"]
    take(evaluation, of("A"), of("B"))
    assert [seen.value for seen in told(evaluation) if isinstance(seen, Seen)] == ["B"]
    take(evaluation, of("A"), of("A", "payment"), received_ms=NOW_MS + SEEN_AGAIN_MS - 1)
    assert [seen.group for seen in told(evaluation) if isinstance(seen, Seen)] == [{"service.name": "payment"}]
    take(evaluation, of("A"), received_ms=NOW_MS + SEEN_AGAIN_MS)
    assert len(told(evaluation)) == 1


@pytest.mark.parametrize("condition", ["{levels: [ERROR]}", "{fields: {url.path: {equals: ''}}}"])
def test_a_shape_of_message_is_told_with_its_template(condition: str) -> None:
    evaluation = Evaluation(rules(f"{{id: r, kind: new-template, {BASE}, where: {condition}}}"))
    take(evaluation, log("took 5 ms"), log("took 7 ms"), log("gone"))
    found = [seen for seen in told(evaluation) if isinstance(seen, Seen)]
    assert [(seen.value, seen.shown, seen.count) for seen in found] == [
        (fingerprint("took 1 ms"), mask("took 1 ms"), 2),
        (fingerprint("gone"), "gone", 1),
    ]
    take(evaluation, log("took 9 ms"))
    assert not told(evaluation)


def test_fingerprints_are_computed_only_for_what_the_rule_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def asked_for(message: str) -> str:
        asked.append(message)
        return "f"

    monkeypatch.setattr(evaluating, "fingerprint", asked_for)
    evaluation = Evaluation(
        rules(
            f"{{id: r, kind: new-template, {BASE}, where: {{levels: [ERROR]}}}}",
            f"{{id: q, kind: new-template, {BASE}, where: {{fields: {{message: {{prefix: b}}}}}}}}",
        )
    )
    take(evaluation, log("a"), log("b", Level.INFO), log("c", Level.INFO))
    evaluation.settle()
    assert asked == ["a", "b"]


def test_groups_beyond_the_most_are_counted_together() -> None:
    evaluation = Evaluation(
        rules(
            f"{{id: r, kind: threshold, {BASE}, where: {{levels: [ERROR]}}, count: 5, window: 1m, group_by: [event.id],"
            " max_groups: 3}"
        )
    )
    take(evaluation, *(log(log_id=f"l{number}") for number in range(500)))
    found = [
        (count.group, sum(n for _, n, _ in count.buckets)) for count in told(evaluation) if isinstance(count, Count)
    ]
    assert found == [({"event.id": f"l{n}"}, 1) for n in range(3)] + [(OTHER_GROUPS, 497)]


def test_values_beyond_the_most_are_told_as_one() -> None:
    evaluation = Evaluation(
        rules(
            f"{{id: r, kind: new-value, {BASE}, where: {{levels: [ERROR]}}, field: trace.id,"
            " max_values: 2, max_groups: 1}"
        )
    )
    take(evaluation, *(log(trace_id=f"t{number}") for number in range(500)))
    found = [(seen.group, seen.value, seen.count) for seen in told(evaluation) if isinstance(seen, Seen)]
    assert found == [({}, "t0", 1), ({}, "t1", 1), (OTHER_GROUPS, "other", 498)]


def test_what_was_counted_outlives_the_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "CELLS_KEPT", 10)
    evaluation = Evaluation(
        rules(
            f"{{id: r, kind: threshold, {BASE}, where: {{levels: [ERROR]}}, count: 5, window: 1m,"
            " group_by: [error.code]}"
        )
    )
    take(evaluation, *(log(error_code=f"E{number % 37}") for number in range(370)))
    found = told(evaluation)
    assert len(found) == 37
    assert {sum(n for _, n, _ in count.buckets) for count in found if isinstance(count, Count)} == {10}


def test_only_rules_in_force_when_the_log_was_received_count() -> None:
    evaluation = Evaluation(rules(MATCH[:-1] + ", active: [{from: '06:40', to: '06:41'}]}"))
    for minute in (-1, 0, 1):
        take(evaluation, log(f"m{minute}"), received_ms=NOW_MS + minute * 60_000)
    assert [finding.sample.message for finding in told(evaluation) if isinstance(finding, Candidate)] == ["m0"]


def test_what_the_manager_dropped_is_told_again_while_the_rule_learns() -> None:
    def again(terms: str) -> int:
        (rule,) = rules(f"{{id: r, kind: new-template, {BASE}, where: {{levels: [ERROR]}}, {terms}}}").rules
        assert isinstance(rule, NewTemplateRule)
        return again_ms(rule)

    assert again("learn_for: 10m") == 150_000
    assert again("learn_for: 1d") == SEEN_AGAIN_MS
    assert again("learn_for: 1d, forget_after: 1h") == 1_800_000
    assert again("learn_for: 1ms") == 10_000


def test_counts_and_values_say_by_which_definition_they_were_found() -> None:
    count = f"{{id: c, kind: threshold, {BASE}, where: {{levels: [ERROR]}}, count: 5, window: 1m}}"
    ruleset = rules(count, NEW_CODE)
    evaluation = Evaluation(ruleset)
    take(evaluation, log(error_code="E"))
    definitions = {one.rule_id: one.definition for one in evaluation.findings() if isinstance(one, Count | Seen)}
    assert definitions == {rule.id: definition_of(rule) for rule in ruleset.rules}


def test_values_told_are_bounded() -> None:
    told_lately = Told(kept=2)
    for name in "abca":
        told_lately.committed(("r", (), name), 9)
    assert [told_lately.until(("r", (), name)) for name in "abc"] == [9, 0, 9]


def test_a_log_that_cannot_be_read_again_is_shown_as_it_lies() -> None:
    shown = evaluated(fake_message(b"\xff\0", appended_ms=NOW_MS))
    assert (shown.event.message, shown.received_ms) == ("\ufffd\0", NOW_MS)
