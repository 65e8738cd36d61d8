"""Floods of incidents against a Slack that keeps its limits, in simulated time: few messages account for all."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk.web import SlackResponse

from streaming.alerting.messages import Action, IncidentState, Notification, Severity
from streaming.alerting.receivers.slack import Links, SlackReceiver, View
from streaming.alerting.receivers.slack.pace import Paces
from tests.support.fake_slack import CHANNEL, TOKEN, DirectClient, FakeSlack
from tests.support.simulated_lane import Clock, Killed, SimulatedLane, Topic
from tests.support.told import note

VIEW = View({"Ada": "U0ADA0000"}, Links("https://vigil.example"), buttons=True)


class SlowClient(DirectClient):
    """Answers when as much simulated time has passed as its world says."""

    def __init__(self, world: World) -> None:
        super().__init__(world.slack)
        self._world = world

    def api_call(self, api_method: str, **asked: Any) -> SlackResponse:
        answer = super().api_call(api_method, **asked)
        self._world.clock.now += self._world.slow_s
        return answer


class World:
    """Slack, Kafka and one lane, all by one clock."""

    def __init__(self) -> None:
        self.clock, self.topic = Clock(), Topic()
        self.slack = FakeSlack(self.clock, self.clock.wall)
        self.random = random.Random(0)
        self.kill_every: float | None = None
        self.slow_s = 0.0
        """How long Slack takes for each answer."""
        self.lane = self.start()

    def start(self) -> SimulatedLane:
        receiver = SlackReceiver(
            TOKEN, CHANNEL, self.slack.url, self.clock, view=VIEW, paces=Paces(), web=SlowClient(self)
        )
        self.lane = SimulatedLane(self.topic, receiver, self.clock, self._is_killed)
        return self.lane

    def _is_killed(self) -> bool:
        return self.kill_every is not None and self.random.random() < self.kill_every

    def order(self, action: Action, number: int, version: int, **changes: object) -> Notification:
        at_ms = self.clock.ms()
        return note(
            action,
            ("Ada",) if action is Action.ESCALATE else (),
            **{
                "incident_id": f"I{number:09d}",
                "title": f"order E{number}: it broke",
                "rule_id": f"rule-{number % 13}",
                "opened_ms": at_ms,
                "updated_ms": at_ms,
                "repeated_ms": at_ms if action is Action.REPEAT else 0,
                "version": version,
            }
            | changes,
        )

    def resolve(self, number: int, version: int) -> Notification:
        return self.order(Action.RESOLVE, number, version, state=IncidentState.RESOLVED, reason="quiet for 60 s")

    def flood(self, numbers: range, per_s: float, severity: Severity = Severity.ERROR) -> None:
        began = self.clock.now
        for done, number in enumerate(numbers):
            self.lane.run(began + done / per_s)
            self.lane.add(self.order(Action.OPEN, number, 1, severity=severity))

    def add(self, numbers: range) -> None:
        """All at once."""
        for number in numbers:
            self.lane.add(self.order(Action.OPEN, number, 1))

    def settle(self, for_s: float = 120.0) -> None:
        self.lane.run(self.clock.now + for_s)
        assert self.topic.committed() == len(self.topic.notifications), "every record is settled"

    def digests(self) -> list[tuple[int, int]]:
        """Resolved and total, of each digest's message, as people read it."""
        return [
            (int(found[1].replace(",", "")), int(found[2].replace(",", "")))
            for message in self.slack.messages
            if message.event == "vigil_digest"
            for found in [re.search(r"\*([\d,]+) of ([\d,]+) resolved\*", message.everything)]
            if found
        ]

    def singles(self) -> int:
        ids = Counter(
            str((m.metadata or {})["event_payload"]["incident_id"])  # type: ignore[index]
            for m in self.slack.messages
            if m.event == "vigil_incident"
        )
        assert max(ids.values(), default=1) == 1, "one message for each incident"
        return len(ids)

    def told(self) -> int:
        """Incidents that the channel accounts for."""
        return self.singles() + sum(total for _, total in self.digests())


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.slack.close()


def test_ten_thousand_incidents_in_a_minute_are_few_messages_that_account_for_all(world: World) -> None:
    world.flood(range(10_000), 10_000 / 60)
    world.settle()
    assert world.told() == 10_000
    assert len(world.slack.messages) <= 3 + 3 + 2, "a burst of three before and after the minute, and two digests"
    assert world.slack.refused == 0, "Slack never had to say no"
    assert sum(m.edits for m in world.slack.messages) <= 12 + 12 + 3, "edits each five seconds"
    receipts = world.topic.receipts.values()
    assert len(receipts) == 10_000
    assert Counter(r.digest != "" for r in receipts)[True] == 10_000 - world.singles()
    assert {r.message_id for r in receipts} == {m.ts for m in world.slack.messages}


def test_what_resolves_is_counted_in_the_digests_and_told_once(world: World) -> None:
    world.flood(range(500), 1000)
    world.settle()
    ((_, total),) = world.digests()
    edits = sum(m.edits for m in world.slack.messages)
    for number in range(100, 107):
        world.lane.add(world.resolve(number, 2))
    world.settle(20)
    assert world.digests() == [(7, total)]
    assert world.slack.replies == []
    for number in range(500):
        world.lane.add(world.resolve(number, 3))
    world.settle()
    assert world.digests() == [(total, total)]
    over = [r.text for r in world.slack.replies if r.event == "vigil_digest_notice"]
    assert over == [f":white_check_mark: All {total} incidents of this digest are resolved."]
    assert len(world.slack.replies) == 1 + world.singles()
    assert sum(m.edits for m in world.slack.messages) - edits <= 5 + world.singles(), "not one for each"


def test_a_slack_that_answers_slowly_gets_a_digest_although_it_is_never_asked_too_fast(world: World) -> None:
    world.slow_s = 3.0
    world.add(range(120))
    world.settle()
    assert world.told() == 120
    assert world.singles() == 1, "the first has shown how slow it is"
    assert world.slack.refused == 0


def test_few_incidents_go_singly_also_where_each_takes_long(world: World) -> None:
    world.slow_s = 3.0
    world.add(range(4))
    world.settle()
    assert (world.singles(), world.digests()) == (4, []), "the last waited for less than ten seconds"


def test_few_incidents_go_singly(world: World) -> None:
    world.flood(range(13), 1000)
    world.settle()
    assert (world.singles(), world.digests()) == (13, [])


def test_what_is_worse_is_not_hidden_in_an_edit(world: World) -> None:
    world.flood(range(100), 1000, Severity.WARNING)
    world.lane.run(world.clock.now + 5)
    world.flood(range(100, 102), 1000, Severity.CRITICAL)
    world.lane.run(world.clock.now + 5)
    assert [m.text for m in world.slack.messages if "CRITICAL" in m.text] != [], "by itself"
    world.flood(range(102, 200), 1000, Severity.CRITICAL)
    world.lane.run(world.clock.now + 5)
    assert len(world.digests()) == 2
    world.settle()
    assert world.told() == 200


def test_members_are_escalated_and_repeated_by_one_notice_each(world: World) -> None:
    world.flood(range(100), 1000)
    world.settle()
    for number in range(20, 90):
        world.lane.add(world.order(Action.ESCALATE, number, 2, escalated=1))
    world.settle(30)
    (raised,) = [m for m in world.slack.messages if m.event == "vigil_digest_notice"]
    assert "ESCALATED:* 70 of <https://slack.test/archives/" in raised.text
    assert "<@U0ADA0000>" in raised.text
    for number in range(20, 60):
        world.lane.add(world.order(Action.REPEAT, number, 3))
    world.settle(30)
    (again,) = world.slack.replies
    assert f"40 of a digest of {100 - world.singles()} still firing, not acknowledged" in again.text


def test_a_note_about_a_member_is_a_reply_that_names_it_in_the_digest_s_thread(world: World) -> None:
    world.flood(range(50), 1000)
    world.settle()
    for number in range(20, 25):
        world.lane.add(world.order(Action.ANNOTATE, number, 2))
        world.lane.add(world.order(Action.ANNOTATE, number, 3))
    world.settle(30)
    (digest,) = [m for m in world.slack.messages if m.event == "vigil_digest"]
    assert {reply.thread_ts for reply in world.slack.replies} == {digest.ts}
    assert len(world.slack.replies) == 10
    texts = [reply.text for reply in world.slack.replies]
    for number in range(20, 25):
        assert sum(f"|I{number:09d}>" in text.splitlines()[0] for text in texts) == 2
    assert not any("<!channel>" in text for text in texts)
    assert world.digests() == [(0, 50 - world.singles())]


def test_one_that_reopens_leaves_the_digest_for_a_message_of_its_own(world: World) -> None:
    world.flood(range(50), 1000)
    world.settle()
    before = world.digests()
    world.lane.add(world.resolve(20, 2))
    world.settle()
    world.lane.add(world.order(Action.REOPEN, 20, 3, reopened=1))
    world.settle()
    assert world.digests() == [(0, before[0][1] - 1)]
    assert world.told() == 50
    world.lane.add(world.resolve(20, 4))
    world.settle()
    assert [r.text.split(".")[0] for r in world.slack.replies] == [":white_check_mark: Resolved (quiet for 60 s)"]


def test_it_waits_as_long_as_slack_asks(world: World) -> None:
    world.slack.faults.retry_after_s = 30
    world.flood(range(200), 100)
    assert world.slack.messages == []
    world.settle()
    assert world.told() == 200
    assert len(world.slack.messages) <= 4


@pytest.mark.parametrize("fault", ["cut_after", "cut_before"])
def test_a_digest_of_unknown_outcome_is_posted_once(world: World, fault: str) -> None:
    for number in range(3):
        world.lane.add(world.order(Action.OPEN, number, 1))
    world.lane.run(world.clock.now)
    setattr(world.slack.faults, fault, 1)
    world.flood(range(3, 100), 1000)
    world.settle()
    assert world.told() == 100
    assert len(world.digests()) == 1


@pytest.mark.parametrize("seed", range(4))
def test_sigkill_at_any_time_neither_doubles_nor_loses(world: World, seed: int) -> None:
    """Killed before and after any write of receipts; Slack is the witness."""
    world.random.seed(seed)
    kills = 0

    def surviving(step: float) -> None:
        nonlocal kills
        until = world.clock.now + step
        while world.clock.now < until:
            try:
                world.lane.run(until)
            except Killed:
                kills += 1
                world.start()

    world.kill_every = 0.15
    open_, version, notes = set[int](), Counter[int](), 0
    for turn in range(25):
        for number in range(turn * 20, turn * 20 + world.random.choice((1, 20, 20))):
            version[number] += 1
            open_.add(number)
            world.lane.add(world.order(Action.OPEN, number, version[number]))
        for number in world.random.sample(sorted(open_), len(open_) // 5):
            version[number] += 1
            if world.random.random() < 0.5:
                open_.discard(number)
                world.lane.add(world.resolve(number, version[number]))
            else:
                action = world.random.choice((Action.UPDATE, Action.REPEAT, Action.ESCALATE, Action.ANNOTATE))
                notes += action is Action.ANNOTATE
                world.lane.add(world.order(action, number, version[number], escalated=version[number]))
        surviving(world.random.choice((0.1, 1.0, 8.0)))
    world.kill_every = 0.02
    surviving(700.0)
    world.kill_every = None
    world.settle()
    assert kills > 10
    assert world.told() == len(version)
    singles = world.singles()
    resolved = sum(done for done, _ in world.digests()) + sum(
        m.event == "vigil_incident" and "RESOLVED" in m.text for m in world.slack.messages
    )
    assert resolved == len(version) - len(open_)
    told = Counter(str(m.metadata) for m in world.slack.posted if m.event != "vigil_incident")
    assert max(told.values(), default=1) == 1, "no reply, notice or digest twice"
    attached = sum("Note by ann" in m.text for m in world.slack.posted)
    assert attached == notes, "each note is a reply, in the thread of its incident or of the digest"
    assert singles < len(version)
