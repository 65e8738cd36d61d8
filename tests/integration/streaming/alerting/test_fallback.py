"""A receiver that is dead, with real processes: others are told, an incident says so, and nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from streaming.heartbeat.messages import NodeStatus
from streaming.heartbeat.states import State
from tests.support.alert_path import RULES
from tests.support.fake_http import Reply, Request
from tests.support.fake_webhook import FakeWebhook

if TYPE_CHECKING:
    from tests.support.alert_path import AlertPath

WaitUntil = Callable[[Callable[[], object], float, str], object]


class Hook(FakeWebhook):
    """A webhook that can be dead."""

    is_dead = False

    def decide(self, request: Request) -> Reply:
        return Reply(503) if self.is_dead else super().decide(request)

    def told(self) -> list[tuple[str, str]]:
        """Type and title of each notification that it took, once for each id."""
        found = {r.headers["webhook-id"]: r.json() for r in self.taken}
        return [
            (str(body["type"]).removeprefix("incident."), body["data"]["incident"]["title"])  # type: ignore[index]
            for body in found.values()
            if body["type"] != "vigil.alive"
        ]

    def is_told(self, action: str, words: str) -> bool:
        return any(told == action and words in title for told, title in self.told())


@pytest.fixture
def main_hook() -> Iterator[Hook]:
    with Hook.running() as hook:
        yield hook


@pytest.fixture
def other_hook() -> Iterator[Hook]:
    with Hook.running() as hook:
        yield hook


def routes(main_hook: Hook, other_hook: Hook) -> str:
    return f"""
receivers:
  - {{name: main, kind: webhook, url: "{main_hook.url}"}}
  - {{name: other, kind: webhook, url: "{other_hook.url}"}}
routes:
  - {{name: default, receivers: [main], fallback: [other]}}
"""


def says(alert_path: AlertPath, node: str, state: State) -> None:
    now_ms = time.time_ns() // 1_000_000
    alert_path.node_status(
        NodeStatus(
            node_id=node,
            service="order",
            state=state,
            at_ms=now_ms,
            last_beat_ms=now_ms,
            silent_for_ms=10_000,
            reason="silent for 10 s",
        )
    )


def test_the_fallback_is_told_for_a_dead_receiver_also_over_sigkill_and_hears_when_it_works_again(
    alert_path: AlertPath, main_hook: Hook, other_hook: Hook, wait_until: WaitUntil
) -> None:
    alert_path.environment["VIGIL_FALL_BACK_AFTER_S"] = "1"
    alert_path.write_rules(RULES + routes(main_hook, other_hook))
    alert_path.start("manager", "notifier")
    says(alert_path, "n1", State.DOWN)
    wait_until(lambda: main_hook.is_told("open", "n1 is DOWN"), 20, "n1 at main")

    main_hook.is_dead = True
    says(alert_path, "n2", State.DOWN)
    wait_until(lambda: other_hook.is_told("open", "n2 is DOWN"), 20, "n2 at other")
    wait_until(lambda: other_hook.is_told("open", "Receiver main does not take messages"), 20, "that main fails")

    alert_path.kill("notifier")
    says(alert_path, "n3", State.DOWN)
    says(alert_path, "n2", State.UP)
    says(alert_path, "n1", State.UP)
    alert_path.start("notifier")
    wait_until(lambda: other_hook.is_told("open", "n3 is DOWN"), 20, "n3 at other")
    wait_until(lambda: other_hook.is_told("resolve", "n2 is DOWN"), 20, "that n2 is up, at other")
    # Who was told there that n1 is down hears there that it is up; others hear it meanwhile.
    wait_until(lambda: other_hook.is_told("resolve", "n1 is DOWN"), 20, "that n1 is up, at other")
    assert main_hook.told() == [("open", "n1 is DOWN: silent for 10 s")]

    main_hook.is_dead = False
    wait_until(lambda: main_hook.is_told("resolve", "n1 is DOWN"), 60, "that n1 is up, at main")
    wait_until(lambda: other_hook.is_told("resolve", "Receiver main"), 20, "that main works again")
    says(alert_path, "n4", State.DOWN)
    wait_until(lambda: main_hook.is_told("open", "n4 is DOWN"), 20, "n4 at main")
    alert_path.await_healthy("notifier")
    assert not main_hook.is_told("open", "Receiver main")
    opened = [title for action, title in other_hook.told() if action == "open"]
    assert len(opened) == len(set(opened)) == 3


def test_it_shows_life_while_matcher_and_manager_work(
    alert_path: AlertPath, main_hook: Hook, other_hook: Hook, wait_until: WaitUntil
) -> None:
    alert_path.write_rules(RULES + routes(main_hook, other_hook) + "dead_man: {receiver: other, every: 5s}\n")
    alert_path.start("notifier")

    def signs() -> int:
        return sum(request.json()["type"] == "vigil.alive" for request in other_hook.taken)

    assert signs() == 0, "there is no manager yet"
    alert_path.start("matcher", "manager")
    wait_until(lambda: signs() >= 1, 30, "a sign of life")
    assert main_hook.taken == []
