"""Rules that count and remember, through the manager's desk: from what matchers tell to what people are told."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from streaming.alerting.desk import Desk
from streaming.alerting.incidents.decision import Decision
from streaming.alerting.messages import Action, Count, Incident, IncidentState, Progress, Sample, Seen
from streaming.alerting.rules.definition import definition_of
from streaming.alerting.rules.loading import load_texts
from streaming.alerting.rules.ruleset import RuleSet
from streaming.events.model import Level
from streaming.kafka import topics

T0 = 1_700_000_000_000 // 3_600_000 * 3_600_000
"""A full hour."""
S, M, H, D = 1_000, 60_000, 3_600_000, 86_400_000


def load(text: str) -> RuleSet:
    return load_texts([(Path("x"), f"rules: [{text}]")])


THRESHOLD = """{id: many, kind: threshold, where: {levels: [ERROR]}, group_by: [service.name], window: 5m, count: 10,
    severity: error, title: '{{ service.name }}: {{ count }} errors in {{ window }}'}"""
ABSENCE = """{id: quiet, kind: absence, group_by: [service.name], window: 5m, severity: error,
    title: '{{ service.name }} is silent{% if silent_for %} for {{ silent_for }}{% endif %}',
    expected: [{service.name: billing}]}"""
RATIO = """{id: ratio, kind: error-ratio, group_by: [service.name], window: 5m, ratio: 0.1, min_count: 20,
    severity: error, title: '{{ percent }} % of {{ all }}'}"""
SPIKE = """{id: spike, kind: spike, where: {levels: [ERROR]}, group_by: [service.name], window: 5m, baseline: 1h,
    factor: 3, min_count: 10, severity: error, title: '{{ count }}, {{ factor }} times the usual {{ usual }}'}"""
NEW_VALUE = """{id: fresh, kind: new-value, field: error.code, group_by: [service.name], learn_for: 1h,
    resolve_after: 10m, severity: warning, title: 'new {{ value }} of {{ service.name }}'}"""
NEW_TEMPLATE = """{id: shape, kind: new-template, learn_for: 1h, resolve_after: 10m, severity: warning,
    title: '{{ template }}'}"""


class World:
    """A desk whose matchers have read everything up to the clock's time."""

    def __init__(self, rules: RuleSet, partitions: int = 1) -> None:
        self.desk = Desk(rules)
        self.now = T0
        self.partitions = partitions
        self.kept: dict[bytes, bytes] = {}
        self.pass_time(0)
        self.pass_time(31 * S)
        self.now = T0

    def took(self, decision: Decision) -> list[Action]:
        for record in decision.kept:
            if record.topic == topics.RULE_STATE:
                if record.value is None:
                    self.kept.pop(record.key, None)
                else:
                    self.kept[record.key] = msgspec.json.encode(record.value)
        return [told.action for told in decision.notifications]

    def restart(self, rules: RuleSet | None = None) -> None:
        """Another manager takes over from what was kept."""
        old, self.desk = self.desk, Desk(rules or self.desk.rules)
        self.desk.restore(old.book.by_key.values(), self.kept, {})

    def sample(self, service: str, at: int) -> Sample:
        return Sample(timestamp_ms=at, level=Level.ERROR, message="boom", service=service, node_id="n", received_ms=at)

    def count(
        self,
        rule_id: str,
        service: str,
        at: Iterable[int],
        all_: int = 0,
        received: int | None = None,
        definition: str = "",
    ) -> list[Action]:
        """Logs of these times, in one count; `all_` as many in the bucket of the last as there are beside them."""
        width = self.desk.rules.rules[0].bucket_ms  # type: ignore[union-attr]
        buckets: dict[int, list[int]] = {}
        times = list(at)
        for one in times:
            cell = buckets.setdefault(one // width * width, [0, 0])
            cell[0] += 1
            cell[1] += 1 if all_ else 0
        buckets.setdefault((times[-1] if times else self.now) // width * width, [0, 0])[1] += all_
        return self.took(
            self.desk.take(
                Count(
                    rule_id=rule_id,
                    group={"service.name": service},
                    buckets=[(start, cell[0], cell[1]) for start, cell in sorted(buckets.items())],
                    first_ms=min(times, default=self.now),
                    last_ms=max(times, default=self.now),
                    received_ms=received or self.now,
                    sample=self.sample(service, max(times)) if times else None,
                    definition=definition,
                ),
                self.now,
            )
        )

    def seen(
        self, value: str, service: str = "a", rule_id: str = "fresh", shown: str = "", definition: str = ""
    ) -> list[Action]:
        return self.took(
            self.desk.take(
                Seen(
                    rule_id=rule_id,
                    group={"service.name": service} if rule_id == "fresh" else {},
                    value=value,
                    shown=shown or value,
                    count=1,
                    first_ms=self.now,
                    last_ms=self.now,
                    received_ms=self.now,
                    sample=self.sample(service, self.now),
                    definition=definition,
                ),
                self.now,
            )
        )

    def pass_time(self, ms: int, step: int = S * 10) -> list[Action]:
        """The matchers tell that they are so far."""
        actions, until = [], self.now + ms
        while True:
            self.now = min(until, self.now + step)
            told = dict.fromkeys(range(self.partitions), self.now)
            progress = Progress(matcher="m", partitions=told, rules_version=self.desk.rules.version)
            actions += self.took(self.desk.take(progress, self.now))
            actions += self.took(self.desk.tick(self.now))
            if self.now >= until:
                return [action for action in actions if action is not Action.UPDATE]

    def incident(self, service: str = "a") -> Incident:
        (found,) = [one for one in self.desk.book.by_key.values() if service in one.group.values()]
        return found


@pytest.fixture(params=[False, True], ids=["one manager", "a successor after each step"])
def successors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is told is told alike when a new manager has taken over."""
    if request.param:
        took = World.took

        def and_restart(world: World, decision: Decision) -> list[Action]:
            actions = took(world, decision)
            world.restart()
            return actions

        monkeypatch.setattr(World, "took", and_restart)


pytestmark = pytest.mark.usefixtures("successors")


def test_a_threshold_fires_on_arrival_counts_every_log_once_and_resolves_by_the_watermark() -> None:
    world = World(load(THRESHOLD))
    assert world.count("many", "a", [T0 + i * S for i in range(9)]) == []
    assert world.count("many", "b", [T0]) == []
    world.pass_time(20 * S)
    assert world.count("many", "a", [T0 + 20 * S]) == [Action.OPEN]
    assert (world.incident().count, world.incident().title) == (10, "a: 10 errors in 5m")
    assert (world.incident().first_ms, world.incident().last_ms) == (T0, T0 + 20 * S)
    world.count("many", "a", [T0 + 21 * S] * 10)
    assert world.incident().count == 20
    assert world.pass_time(4 * M + 50 * S) == [], "the window holds eleven"
    assert world.pass_time(M) == [Action.RESOLVE]
    assert world.incident().reason == "fewer than 10 logs in 5m"


def test_a_threshold_resolves_when_it_held_for_resolve_after_no_more() -> None:
    world = World(load(THRESHOLD.replace("severity", "resolve_after: 3m, severity")))
    assert world.count("many", "a", [T0] * 10) == [Action.OPEN]
    assert world.pass_time(8 * M) == []
    assert world.pass_time(30 * S) == [Action.RESOLVE]


def test_a_log_that_comes_late_joins_the_incident_of_its_time_and_reopens_nothing() -> None:
    world = World(load(THRESHOLD))
    world.count("many", "a", [T0] * 10)
    assert world.pass_time(6 * M) == [Action.RESOLVE]
    assert world.count("many", "a", [T0 + 7 * S] * 3) == []
    assert (world.incident().count, world.incident().state) == (13, IncidentState.RESOLVED)


def test_a_late_log_whose_incident_is_forgotten_leaves_none_open() -> None:
    world = World(load(THRESHOLD))
    world.count("many", "a", [T0] * 10)
    assert world.pass_time(6 * M) == [Action.RESOLVE]
    world.now += 20 * M  # a partition stands still, and so does the watermark
    world.took(world.desk.tick(world.now))
    assert not world.desk.book.by_key
    assert world.count("many", "a", [T0 + 7 * S]) == [Action.OPEN, Action.RESOLVE]


def test_a_shorter_time_to_resolve_holds_at_once() -> None:
    world = World(load(THRESHOLD.replace("severity", "resolve_after: 1h, severity")))
    world.count("many", "a", [T0] * 10)
    assert world.pass_time(20 * M) == []
    world.took(world.desk.take_rules(load(THRESHOLD), world.now))
    assert world.pass_time(S) == [Action.RESOLVE]


def test_late_logs_that_reach_a_threshold_of_old_fire_once_and_are_over() -> None:
    world = World(load(THRESHOLD))
    world.pass_time(3 * H, step=M)
    assert world.count("many", "a", [T0 + i for i in range(6)]) == []
    assert world.count("many", "a", [T0 + M + i for i in range(6)]) == [Action.OPEN]
    assert world.pass_time(S) == [Action.RESOLVE]
    for minute in range(2, 60):
        assert world.count("many", "a", [T0 + minute * M + i for i in range(6)]) == []
        assert world.pass_time(100) == []
    assert world.incident().count == 6 * 60, "each of them is counted all the same"


def test_several_storms_of_long_ago_that_come_to_light_together_fire_once() -> None:
    world = World(load(THRESHOLD))
    world.pass_time(3 * H, step=M)
    assert world.count("many", "a", [T0] * 10) == [Action.OPEN]
    assert world.pass_time(S) == [Action.RESOLVE]
    assert world.count("many", "a", [T0 + H] * 12) == []
    assert (world.incident().count, world.incident().state) == (22, IncidentState.RESOLVED)


def test_a_late_threshold_that_held_for_long_enough_need_not_be_waited_for() -> None:
    world = World(load(THRESHOLD.replace("severity", "for: 2m, severity")))
    world.pass_time(3 * H, step=M)
    assert world.count("many", "a", [T0] * 12) == [Action.OPEN]


def test_what_lies_beyond_max_groups_is_counted_together_until_there_is_room() -> None:
    world = World(load(THRESHOLD.replace("severity", "max_groups: 2, severity")))
    for service in "abc":
        world.count("many", service, [T0])
    for service in "de":
        assert world.count("many", service, [T0] * 4) == []
    assert world.count("many", "c", [T0]) == [Action.OPEN]
    other = world.incident("groups")
    assert (other.group, other.count) == ({"other": "groups"}, 10)
    assert other.title == "More than 2 groups; the others: c: 10 errors in 5m"
    assert world.pass_time(6 * M) == [Action.RESOLVE]
    world.pass_time(H, step=M)
    assert world.count("many", "c", [world.now] * 10) == [Action.OPEN]
    assert world.incident("c").count == 10


def test_an_error_ratio_fires_on_arrival_and_when_good_logs_leave_the_window() -> None:
    world = World(load(RATIO))
    assert world.count("ratio", "a", [], all_=17) == []
    assert world.count("ratio", "a", [T0] * 2) == [], "two of what may yet be seventeen, not twenty"
    world = World(load(RATIO))
    assert world.count("ratio", "a", [], all_=100) == []
    world.pass_time(60 * S)
    assert world.count("ratio", "a", [world.now] * 5, all_=45) == [], "5 of 150"
    assert world.pass_time(3 * M) == []
    assert world.pass_time(90 * S) == [Action.OPEN], "5 of 50"
    assert (world.incident().title, world.incident().count) == ("10 % of 50", 5)
    assert world.pass_time(M) == [Action.RESOLVE]


def test_an_error_ratio_fires_on_arrival() -> None:
    world = World(load(RATIO))
    assert world.count("ratio", "a", [T0] * 2, all_=17) == []
    assert world.count("ratio", "a", [T0 + 1] * 2, all_=17) == [Action.OPEN]
    assert world.count("ratio", "a", [T0 + 2], all_=1) == []
    assert world.incident().count == 5
    assert world.count("ratio", "a", [T0 + 20 * S], all_=1000) == []
    world.pass_time(20 * S)
    assert world.pass_time(5 * M + 10 * S) == [Action.RESOLVE]


def test_a_spike_is_judged_by_the_groups_own_past_and_only_when_that_is_known() -> None:
    world = World(load(SPIKE))
    assert world.count("spike", "a", [T0] * 100) == [], "it is new"
    for _ in range(14):
        world.pass_time(5 * M)
        world.count("spike", "a", [world.now] * 4)
    world.pass_time(5 * M)
    assert world.count("spike", "b", [world.now] * 30) == [], "another one is new"
    assert world.count("spike", "a", [world.now] * 11) == []
    assert world.count("spike", "a", [world.now]) == [Action.OPEN]
    assert world.incident().title == "12, 3 times the usual 4"
    assert world.pass_time(6 * M) == [Action.RESOLVE]


def test_a_group_that_falls_silent_fires_and_its_next_log_resolves() -> None:
    world = World(load(ABSENCE))
    world.count("quiet", "a", [T0])
    world.count("quiet", "billing", [T0])
    for _ in range(4):
        world.pass_time(M)
        assert world.count("quiet", "billing", [world.now]) == []
    assert world.pass_time(M) == []
    world.count("quiet", "billing", [world.now])
    assert world.pass_time(10 * S) == [Action.OPEN]
    assert world.incident().title == "a is silent for 5 min 5 s"
    assert world.incident().sample.message == "no log for 5m; the last came at 2023-11-14 22:00:05 UTC"
    assert world.incident().sample.service == "a"
    world.count("quiet", "billing", [world.now])
    assert world.pass_time(5 * M) == []
    assert world.count("quiet", "a", [world.now]) == [Action.RESOLVE]


def test_a_group_that_is_expected_fires_though_it_never_came() -> None:
    world = World(load(ABSENCE))
    assert world.pass_time(5 * M) == []
    assert world.pass_time(M) == [Action.OPEN]
    assert world.incident("billing").title == "billing is silent"
    assert "none was ever seen" in world.incident("billing").sample.message
    assert world.count("quiet", "billing", [world.now]) == [Action.RESOLVE]


def test_nothing_is_silent_while_a_partition_stands_still() -> None:
    world = World(load(ABSENCE), partitions=2)
    world.count("quiet", "a", [T0])
    world.count("quiet", "billing", [T0])
    world.pass_time(10 * S)
    version = world.desk.rules.version
    for _ in range(60):
        world.now += M
        alone = Progress(matcher="m", partitions={0: world.now}, rules_version=version)
        assert world.took(world.desk.take(alone, world.now)) == []
    rebalanced = Progress(matcher="m", partitions={0: world.now, 1: T0 + 10 * S}, rules_version=version)
    assert world.took(world.desk.take(rebalanced, world.now)) == []
    assert world.pass_time(0) == [Action.OPEN, Action.OPEN]


def test_an_absence_rule_counts_silence_only_while_it_is_in_force() -> None:
    text = ABSENCE.replace("expected: [{service.name: billing}]", "active: [{from: '08:00', to: '09:00'}]")
    world = World(load(text))
    assert T0 % D == 22 * H
    world.count("quiet", "a", [T0])
    assert world.pass_time(10 * H, step=M) == [], "it is eight o'clock"
    assert world.pass_time(5 * M) == []
    assert world.pass_time(2 * M) == [Action.OPEN]
    assert world.pass_time(54 * M, step=M) == [Action.RESOLVE], "it is past nine"


def test_groups_beyond_max_groups_are_not_watched_which_is_said_once() -> None:
    world = World(load(ABSENCE.replace("expected: [{service.name: billing}]", "max_groups: 1, forget_after: 1h")))
    assert world.count("quiet", "a", [T0]) == []
    assert world.count("quiet", "b", [T0]) == [Action.OPEN]
    assert world.incident("groups").title.startswith("More than 1 groups")
    assert world.count("quiet", "c", [T0]) == []
    assert world.pass_time(6 * M) == [Action.OPEN], "a is silent"
    assert world.pass_time(H, step=M) == [Action.RESOLVE, Action.RESOLVE], "a is forgotten, and there is room"
    assert world.count("quiet", "b", [world.now]) == []


def test_a_new_value_fires_once_after_the_time_of_learning() -> None:
    world = World(load(NEW_VALUE))
    assert world.seen("E1") == []
    assert world.seen("E1", service="b") == []
    world.pass_time(2 * H, step=M)
    assert world.seen("E1") == []
    assert world.seen("E2") == [Action.OPEN]
    assert world.seen("E2") == []
    assert world.seen("E2", service="b") == [Action.OPEN], "no log of b had it"
    (first, _) = world.desk.book.by_key.values()
    assert first.title == "new E2 of a"
    assert first.group == {"service.name": "a", "error.code": "E2"}


def test_a_value_that_was_not_seen_for_long_is_new_again() -> None:
    world = World(load(NEW_VALUE))
    assert world.seen("E1") == []
    world.pass_time(20 * D, step=D)
    assert world.seen("E1") == []
    world.pass_time(20 * D, step=D)
    assert world.seen("E1") == []
    world.pass_time(32 * D, step=D)
    assert not any(b"E1" in key for key in world.kept)
    assert world.seen("E1") == [Action.OPEN]


def test_of_more_values_than_it_may_hold_a_rule_forgets_the_one_not_seen_for_longest() -> None:
    world = World(load(NEW_VALUE.replace("severity", "max_values: 2, severity")))
    for value in ("E1", "E2"):
        world.seen(value)
        world.pass_time(D, step=H)
    world.seen("E1")
    assert world.seen("E3") == [Action.OPEN]
    assert world.seen("E1") == []
    assert world.seen("E2") == [Action.OPEN]
    assert sum(b"#value" in key for key in world.kept) == 2


def test_a_new_template_is_grouped_by_its_fingerprint_and_shows_its_template() -> None:
    world = World(load(NEW_TEMPLATE))
    world.pass_time(2 * H, step=M)
    assert world.seen("abc", rule_id="shape", shown="user <*> left") == [Action.OPEN]
    assert world.incident("abc").title == "user <*> left"
    assert world.incident("abc").group == {"vigil.fingerprint": "abc"}


def test_a_rule_that_became_another_begins_anew_and_its_incident_is_over() -> None:
    world = World(load(THRESHOLD))
    world.count("many", "a", [T0] * 10)
    other = load(THRESHOLD.replace("5m", "10m"))
    assert world.took(world.desk.take_rules(other, world.now)) == [Action.RESOLVE]
    assert world.incident().reason == "its rule was changed and counts anew"
    assert not any(b"#window" in key for key in world.kept)
    assert world.count("many", "a", [T0] * 9) == []


def test_what_was_counted_by_another_definition_of_its_rule_is_dropped() -> None:
    """A matcher goes by the rules of before for some seconds."""
    world = World(load(THRESHOLD))
    other = load(THRESHOLD.replace("ERROR", "WARN"))
    world.took(world.desk.take_rules(other, world.now))
    old, new = (definition_of(rules.rules[0]) for rules in (load(THRESHOLD), other))
    assert world.count("many", "a", [T0] * 10, definition=old) == []
    assert world.count("many", "a", [T0] * 9, definition=new) == []
    assert world.count("many", "a", [T0], definition=new) == [Action.OPEN]
    assert world.count("many", "b", [T0] * 10) == [Action.OPEN], "of a matcher that does not tell"


def test_a_value_that_another_definition_of_its_rule_showed_is_dropped() -> None:
    world = World(load(NEW_VALUE))
    world.pass_time(2 * H, step=M)
    old = definition_of(load(NEW_VALUE.replace("error.code", "log.logger")).rules[0])
    assert world.seen("E1", definition=old) == []
    assert world.seen("E1", definition=definition_of(load(NEW_VALUE).rules[0])) == [Action.OPEN]


def test_a_rule_with_another_title_or_count_goes_on() -> None:
    world = World(load(THRESHOLD))
    world.count("many", "a", [T0] * 4)
    other = load(THRESHOLD.replace("count: 10", "count: 5").replace("errors", "faults"))
    assert world.took(world.desk.take_rules(other, world.now)) == []
    assert world.count("many", "a", [T0]) == [Action.OPEN]
    assert world.incident().title == "a: 5 faults in 5m"


@pytest.mark.parametrize("text", [THRESHOLD, ABSENCE, NEW_VALUE])
def test_what_a_rule_left_that_went_while_no_manager_ran_is_given_up(text: str) -> None:
    world = World(load(text))
    world.pass_time(2 * H, step=M)
    if "new-value" in text:
        world.seen("E1")
    elif "threshold" in text:
        world.count("many", "a", [world.now] * 10)
    assert world.incident("billing" if "absence" in text else "a").state is IncidentState.FIRING
    world.restart(load("{id: x, kind: match, where: {levels: [ERROR]}, severity: error, title: t}"))
    assert world.pass_time(S) == [Action.RESOLVE]
    assert world.kept.keys() == {b"|#progress"}
