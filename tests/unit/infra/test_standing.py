"""How the platform stands against what was ordered."""

from __future__ import annotations

import pytest

from infra.gates import Probe
from infra.intent import Intent, Order
from infra.standing import Standing, judged, meant

UP = Order(intent=Intent.UP, since_ms=1_800_000_000_000, by="deploy_platform manual__1")
DOWN = Order(intent=Intent.DOWN, since_ms=1_800_000_000_000, by="teardown_platform manual__2")


def test_what_is_meant_to_be_up_is_asked_further() -> None:
    assert meant(UP, []) is None


@pytest.mark.parametrize(
    ("order", "changing", "standing", "says"),
    [
        (None, [], Standing.MEANT_DOWN, "never deployed"),
        (DOWN, [], Standing.MEANT_DOWN, "meant to be down since 2027-01-15 08:00:00 UTC: teardown_platform manual__2"),
        (UP, ["deploy_platform"], Standing.CHANGING, "deploy_platform is running"),
        (DOWN, ["deploy_platform", "restart_platform"], Standing.CHANGING, "deploy_platform and restart_platform are"),
    ],
)
def test_what_is_known_without_asking(order: Order | None, changing: list[str], standing: Standing, says: str) -> None:
    found = meant(order, changing)
    assert found
    assert found.standing is standing
    assert says in found.reason


def test_all_answer() -> None:
    found = judged(UP, {"kafka": Probe(True, "1 broker"), "elasticsearch": Probe(True, "green")})
    assert found.standing is Standing.UP
    assert found.reason == "meant to be up since 2027-01-15 08:00:00 UTC, and kafka and elasticsearch answer"


def test_who_does_not_answer_is_named_with_its_reason() -> None:
    found = judged(UP, {"kafka": Probe(False, "nobody listens"), "elasticsearch": Probe(True, "green")})
    assert found.standing is Standing.DOWN
    assert found.reason == "the platform is meant to be up since 2027-01-15 08:00:00 UTC, but kafka: nobody listens"
