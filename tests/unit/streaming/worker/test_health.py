"""The health answer, on a simulated clock."""

from __future__ import annotations

from streaming.worker.health import Health


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_check_that_was_never_set_is_not_healthy() -> None:
    health = Health("indexer", "kafka", "elasticsearch")
    health.set("kafka", True)
    answer = health.answer()
    assert not answer["healthy"]
    assert answer["checks"]["elasticsearch"] == {"ok": False, "detail": "not yet known"}
    health.set("elasticsearch", True)
    assert health.answer()["healthy"]


def test_a_stuck_worker_is_not_healthy() -> None:
    clock = Clock()
    health = Health("indexer", "kafka", stuck_after_s=30, clock=clock)
    health.set("kafka", True)
    clock.now = 29.9
    assert health.answer()["healthy"]
    clock.now = 30.1
    assert health.answer()["checks"]["moving"] == {"ok": False, "detail": "no round for 30 s"}
    health.came_round()
    assert health.answer()["healthy"]
