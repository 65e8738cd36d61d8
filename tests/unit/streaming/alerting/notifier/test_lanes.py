"""All lanes together, with real threads and receivers that fail as told. Waits are on conditions."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from streaming.alerting.failing_receiver import RECEIVER_RULE, failing
from streaming.alerting.incidents.lifecycle import Policy, on_candidate
from streaming.alerting.messages import Action, Attempt, Candidate, IncidentState, Notification, Receipt, Recovery
from streaming.alerting.notifier.lanes import REACHED, Lanes
from streaming.alerting.receivers import Wanted
from streaming.alerting.receivers.base import Delivered, Undelivered
from streaming.alerting.rules.ruleset import RuleSet
from streaming.kafka.offsets import Span
from streaming.settings import Settings
from streaming.worker.health import Health

OPEN, UPDATE, RESOLVE, REPEAT, ESCALATE = (
    Action.OPEN,
    Action.UPDATE,
    Action.RESOLVE,
    Action.REPEAT,
    Action.ESCALATE,
)
AWAY = Undelivered("unreachable", wait_s=0.005)


def rules(*names: str, default: str = "") -> RuleSet:
    return RuleSet.model_validate(
        {
            "receivers": [{"name": name, "kind": "webhook", "url": "http://x.example/"} for name in names],
            "routes": [{"name": "default", "receivers": [default]}] if default else [],
        }
    )


def note(
    action: Action,
    version: int,
    receivers: tuple[str, ...] = ("a",),
    fallback: tuple[str, ...] = (),
    incident_id: str = "A",
    about: str = "",
) -> Notification:
    (incident,) = on_candidate(None, failing(about or "x", "away", 0), 0, Policy()).changed
    rule = RECEIVER_RULE if about else "r"
    incident = msgspec.structs.replace(incident, incident_id=incident_id, version=version, rule_id=rule)
    return Notification(action=action, incident=incident, created_ms=0, receivers=receivers, fallback=fallback)


class Fake:
    """A receiver that is away while it is told to be, and asks to be tried again soon or late."""

    def __init__(self, name: str) -> None:
        self.name, self.failure = name, Undelivered("none")
        self.is_away = False
        self.got: list[tuple[str, int, Action]] = []

    def check(self) -> None:
        pass

    def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:
        if self.is_away:
            raise Undelivered("unreachable", wait_s=self.failure.wait_s)
        incident = notification.incident
        self.got.append((incident.incident_id, incident.version, notification.action))
        return Delivered(f"{self.name}-{incident.version}")


class World:
    """A notifier's lanes without Kafka."""

    def __init__(self, rule_set: RuleSet) -> None:
        self.fakes: dict[str, Fake] = {}
        self.health = Health("test")
        self.saved: dict[tuple[str, str], Receipt] = {}
        self.finished: list[int] = []
        self.told: list[Candidate | Recovery] = []
        self.attempts: list[Attempt] = []
        self.offset = 0
        self.lanes = Lanes(
            Settings(fall_back_after_s=0.001),
            rule_set,
            self._make,
            save=self._save,
            finish=lambda span: self.finished.append(span.first),
            tell=self._tell,
            receipts=lambda: self.saved.values(),
            health=self.health,
        )
        self.lanes.begin([])

    def _make(self, wanted: Wanted) -> Fake:
        return self.fakes.setdefault(wanted.name, Fake(wanted.name))

    def _tell(self, found: Candidate | Recovery | Attempt) -> None:
        if isinstance(found, Attempt):
            self.attempts.append(found)
        else:
            self.told.append(found)

    def _save(self, *receipts: Receipt) -> bool:
        self.saved.update({(receipt.incident_id, receipt.receiver): receipt for receipt in receipts})
        return True

    def away(self, *names: str, retry_s: float = 0.005) -> None:
        for name in names:
            fake = self.fakes.setdefault(name, Fake(name))
            fake.is_away, fake.failure = True, Undelivered("unreachable", wait_s=retry_s)

    def back(self, *names: str) -> None:
        for name in names:
            self.fakes[name].is_away = False

    def send(self, *notifications: Notification) -> None:
        for notification in notifications:
            self.lanes.work()
            self.offset += 1
            self.lanes.dispatch(notification, Span(0, self.offset, self.offset), look_first=False)

    def until(self, holds: Callable[[], object], what: str = "") -> None:
        give_up_at = time.monotonic() + 10
        pause = threading.Event()
        while not holds():
            assert time.monotonic() < give_up_at, what or {n: f.got for n, f in self.fakes.items()}
            self.lanes.work()
            pause.wait(0.002)

    def all_finished(self) -> None:
        self.until(lambda: len(self.finished) == self.offset, "all records are finished")

    def got(self, name: str) -> list[tuple[str, int, Action]]:
        return self.fakes[name].got if name in self.fakes else []

    @property
    def failing(self) -> list[str]:
        """Receivers whose failing the manager was told of and not yet that it is over."""
        state: dict[str, bool] = {}
        for found in self.told:
            state[found.group["receiver"]] = isinstance(found, Candidate)
        return [name for name, fails in state.items() if fails]


@contextmanager
def world(rule_set: RuleSet) -> Iterator[World]:
    made = World(rule_set)
    try:
        yield made
    finally:
        made.lanes.close(5)


@pytest.fixture(autouse=True)
def _no_slack(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLACK_BOT_TOKEN", "SLACK_CHANNEL"):
        monkeypatch.delenv(name, raising=False)


def test_the_fallback_gets_what_a_dead_receiver_does_not_take() -> None:
    with world(rules("a", "b")) as at:
        at.away("a")
        at.send(note(OPEN, 1, fallback=("b",)))
        at.all_finished()
        assert at.got("b") == [("A", 1, OPEN)]
        assert at.failing == ["a"]
        assert set(at.saved) == {("A", "b")}
        # It goes on there, while `a` is still away; an update waits for `a`, too.
        at.send(note(UPDATE, 2, fallback=("b",)), note(RESOLVE, 3, fallback=("b",)))
        at.until(lambda: ("A", 3, RESOLVE) in at.got("b"))
        at.until(lambda: len(at.finished) == 3)
        at.back("a")
        at.send(note(OPEN, 1, incident_id="B", fallback=("b",)))
        at.until(lambda: ("B", 1, OPEN) in at.got("a") or ("B", 1, OPEN) in at.got("b"))
        at.send(note(UPDATE, 2, incident_id="B", fallback=("b",)))
        at.until(lambda: not at.failing, "it is told that it works again")
        assert [version for incident, version, _ in at.got("b") if incident == "A"] in ([1, 3], [1, 2, 3])


def test_where_the_fallback_fails_too_the_default_and_at_last_the_console_get_it() -> None:
    with world(rules("a", "b", "c", default="c")) as at:
        at.away("a", "b")
        at.send(note(OPEN, 1, fallback=("b",)))
        at.all_finished()
        assert at.got("c") == [("A", 1, OPEN)]
        assert at.health.answer()["checks"][REACHED]["ok"]
        at.away("c")
        at.send(note(OPEN, 1, incident_id="B", fallback=("b",)))
        at.all_finished()
        assert at.got("console") == [("B", 1, OPEN)]
        reached = at.health.answer()["checks"][REACHED]
        assert (reached["ok"], "a, b, c fail" in reached["detail"]) == (False, True)
        at.back("a", "b", "c")
        at.send(*(note(UPDATE, 2, receivers=(name,), incident_id=f"to-{name}") for name in "abc"))
        at.all_finished()
        at.until(lambda: at.health.answer()["checks"][REACHED]["ok"])


def test_what_nobody_takes_waits_and_arrives_in_the_end() -> None:
    with world(rules("a")) as at:
        at.away("a", "console")
        at.send(note(OPEN, 1))
        at.until(lambda: not at.health.answer()["checks"][REACHED]["ok"])
        at.until(lambda: set(at.failing) == {"a", "console"})
        assert at.finished == []
        at.back("console")
        at.until(lambda: at.finished == [1])
        assert at.got("console") == [("A", 1, OPEN)]


def test_receipts_that_an_unfinished_notification_needs_are_kept() -> None:
    with world(rules("a", "b")) as at:
        day_ms = 86_400_000
        now_ms = time.time_ns() // 1_000_000 + 3 * day_ms
        at.away("a", retry_s=3600)
        at.send(msgspec.structs.replace(note(UPDATE, 1), created_ms=now_ms - 3 * day_ms - 1000))
        at.send(note(OPEN, 1, ("b",), incident_id="B"), note(RESOLVE, 2, ("b",), incident_id="B"))
        at.until(lambda: set(at.finished) == {2, 3})
        oldest_ms = at.lanes.oldest_ms()
        assert oldest_ms is not None
        assert oldest_ms == now_ms - 3 * day_ms - 1000
        assert at.lanes.forget_expired(now_ms, oldest_ms) == []
        (gone,) = at.lanes.forget_expired(now_ms, now_ms)
        assert (gone.incident_id, gone.receiver) == ("B", "b")


def test_that_it_is_over_is_told_where_it_was_told_whatever_the_route_says_by_then() -> None:
    with world(rules("a", "b", "c")) as at:
        at.send(note(OPEN, 1, ("a",)), note(ESCALATE, 2, ("b",)))
        at.all_finished()
        at.send(note(UPDATE, 3, ("c",)))
        at.all_finished()
        at.send(note(RESOLVE, 4, ("c",)))
        at.all_finished()
        assert at.got("a") == [("A", 1, OPEN), ("A", 3, UPDATE), ("A", 4, RESOLVE)]
        assert at.got("b") == [("A", 2, ESCALATE), ("A", 3, UPDATE), ("A", 4, RESOLVE)]
        assert at.got("c") == [("A", 3, UPDATE), ("A", 4, RESOLVE)]


def test_who_was_told_before_it_fell_hears_in_the_end_that_it_is_over() -> None:
    with world(rules("a", "b")) as at:
        at.send(note(OPEN, 1, fallback=("b",)))
        at.all_finished()
        at.away("a")
        at.send(note(RESOLVE, 2, fallback=("b",)))
        at.until(lambda: at.got("b") == [("A", 2, RESOLVE)])
        assert at.finished == [1], "it is not finished before `a` has it"
        at.back("a")
        at.all_finished()
        assert at.got("a") == [("A", 1, OPEN), ("A", 2, RESOLVE)]


def test_a_successor_knows_from_receipts_who_was_told() -> None:
    with world(rules("a", "b")) as before:
        before.away("a")
        before.send(note(OPEN, 1, fallback=("b",)))
        before.all_finished()
    with world(rules("a", "b")) as at:
        at.saved = before.saved
        at.lanes.begin(before.saved.values())
        # Its record was not committed: it comes again, and `a` is still away.
        at.away("a")
        at.send(note(OPEN, 1, fallback=("b",)))
        at.all_finished()
        at.send(note(RESOLVE, 2, fallback=("b",)))
        at.all_finished()
        assert at.got("b") == [("A", 2, RESOLVE)], "it has a receipt of the first"


def test_an_alert_that_comes_to_the_fallback_late_alerts_there_with_how_things_are_now() -> None:
    with world(rules("a", "b")) as at:
        at.send(note(OPEN, 1, ("b",)))
        at.all_finished()
        at.away("a", retry_s=3600)
        at.send(note(ESCALATE, 2, ("a",), ("b",)), note(UPDATE, 3, ("b",), ("b",)))
        at.until(lambda: ("A", 3, ESCALATE) in at.got("b"))
        at.back("a")
        at.all_finished()
        assert at.got("b") in (
            [("A", 1, OPEN), ("A", 3, UPDATE), ("A", 3, ESCALATE)],
            [("A", 1, OPEN), ("A", 3, ESCALATE)],
        )
        saved = dict(at.saved)
    with world(rules("a", "b")) as again:
        # The records were not committed: they come again, and whoever was alerted is not alerted again.
        again.saved = saved
        again.lanes.begin(saved.values())
        again.away("a")
        again.send(note(ESCALATE, 2, ("a",), ("b",)))
        again.all_finished()
        assert again.got("b") == []


def test_an_alert_that_comes_to_the_fallback_after_it_is_over_says_nothing() -> None:
    with world(rules("a", "b")) as at:
        at.send(note(OPEN, 1, ("b",)))
        at.away("a", retry_s=3600)
        at.send(note(ESCALATE, 2, ("a",), ("b",)))
        resolved = note(RESOLVE, 3, ("b",), ("b",))
        resolved.incident.state = IncidentState.RESOLVED
        at.send(resolved)
        at.all_finished()
        assert at.got("b")[0] == ("A", 1, OPEN)
        assert at.got("b")[-1] == ("A", 3, RESOLVE)


def test_no_incident_about_a_receiver_is_told_to_it() -> None:
    with world(rules("a", "b")) as at:
        at.away("b")
        at.send(note(OPEN, 1, ("a", "b"), ("a",), about="a"), note(OPEN, 1, ("console",), (), "B", about="console"))
        at.all_finished()
        assert at.got("a") == []
        assert at.got("console") == [("A", 1, OPEN)]
        assert at.failing == ["b"]


def test_receivers_begin_change_and_end_with_the_rules() -> None:
    with world(rules("a", "b")) as at:
        at.send(note(OPEN, 1, ("new",), ("b",)))
        at.all_finished()
        assert at.got("b") == [("A", 1, OPEN)], "the fallback has what was for a receiver that is not there"
        at.lanes.take_rules(rules("a", "b", "new"))
        assert at.lanes.knows(note(OPEN, 1, ("new",)))
        at.send(note(OPEN, 1, ("new",), incident_id="B"))
        at.all_finished()
        assert at.got("new") == [("B", 1, OPEN)]
        at.away("new", retry_s=3600)
        at.send(note(RESOLVE, 2, ("new",), ("b",), "B"), note(OPEN, 1, ("new",), ("b",), "C"))
        at.until(lambda: ("C", 1, OPEN) in at.got("b"))
        at.lanes.take_rules(rules("a", "b"))
        at.all_finished()
        at.until(lambda: "new" not in at.health.answer()["checks"])
        assert ("B", 2, RESOLVE) in at.got("b")
        assert at.failing == []


def test_a_receiver_that_comes_back_while_it_leaves_goes_on() -> None:
    with world(rules("a")) as at:
        at.away("a", retry_s=3600)
        at.lanes.take_rules(rules())
        at.lanes.take_rules(rules("a"))
        at.back("a")
        at.send(note(OPEN, 1))
        at.all_finished()
        assert at.got("a") == [("A", 1, OPEN)]


def test_what_waited_when_partitions_went_is_neither_sent_nor_handed_over() -> None:
    with world(rules("a", "b")) as at:
        at.away("a")
        at.send(note(OPEN, 1, fallback=("b",)))
        at.lanes.end()
        at.back("a")
        at.lanes.begin([])
        at.send(note(OPEN, 1, incident_id="B"))
        at.until(lambda: 2 in at.finished)
        assert ("B", 1, OPEN) in at.got("a")
        assert 1 not in at.finished
        assert at.got("b") == []


@pytest.mark.parametrize("seed", range(12))
def test_whatever_fails_and_changes_every_alert_reaches_somebody_and_every_record_is_finished(seed: int) -> None:
    dice = random.Random(seed)
    names = ("a", "b", "c")
    full, less = rules(*names, default="c"), rules("a", "c", default="c")
    state: dict[str, int] = {}
    alerts: list[tuple[str, int]] = []
    with world(full) as at:
        for _ in range(60):
            step = dice.random()
            if step < 0.2:
                at.away(dice.choice(names), retry_s=dice.choice((0.001, 0.01)))
            elif step < 0.35 and (gone := [name for name in names if name in at.fakes and at.fakes[name].is_away]):
                at.back(dice.choice(gone))
            elif step < 0.4:
                at.lanes.take_rules(dice.choice((full, less)))
            else:
                incident = dice.choice("ABCD")
                version = state.get(incident, 0) + 1
                state[incident] = version
                action = OPEN if version == 1 else dice.choice((UPDATE, REPEAT, ESCALATE))
                if action is not UPDATE:
                    alerts.append((incident, version))
                to = tuple(dice.sample(names, dice.randint(1, 2)))
                at.send(note(action, version, to, tuple(dice.sample(names, 1)), incident))
            at.lanes.work()
        for name in names:
            at.fakes.setdefault(name, Fake(name)).is_away = False
        at.all_finished()
        for incident, version in alerts:
            # A later one that was merged with it tells of it as well.
            assert any(
                who == incident and then >= version and action is not UPDATE
                for fake in at.fakes.values()
                for who, then, action in fake.got
            ), (incident, version)
        assert sorted(at.finished) == list(range(1, at.offset + 1))
