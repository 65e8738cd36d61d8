"""A node that falls silent, on the whole platform."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.support.platform import Platform, wait_until


def states(platform: Platform) -> dict[str, str]:
    return {node["node_id"]: node["state"] for node in json.loads(platform.vigil("nodes", "--json"))}


def test_the_services_are_registered_and_up(platform: Platform) -> None:
    wait_until(
        lambda: [states(platform).get(f"{name}-1") for name in ("order", "payment", "inventory")] == ["UP"] * 3,
        60,
        "all three services are UP",
    )


@pytest.mark.timeout(180)
def test_a_hanging_service_is_down_in_one_message_and_resolved_in_its_thread(platform: Platform) -> None:
    wait_until(lambda: states(platform).get("inventory-1") == "UP", 60, "inventory is up")
    url = f"http://{platform.settings.bind_host}:{platform.settings.inventory_port}/faults"
    httpx.post(url, json={"hang_s": 12}, timeout=10).raise_for_status()

    def told() -> list[str]:
        return [m.ts for m in platform.slack.messages if "inventory-1" in m.text and "DOWN" in m.text]

    (ts,) = wait_until(told, 40, "one message that inventory-1 is DOWN")
    wait_until(lambda: states(platform).get("inventory-1") == "UP", 60, "inventory is back")
    wait_until(
        lambda: [reply for reply in platform.slack.replies if reply.thread_ts == ts],
        40,
        "the end of it is told in the thread",
    )
    assert told() == [ts]
