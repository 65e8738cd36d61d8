"""What is wrong with a spool reaches its health, its log, and by that an incident."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from streaming.accumulator.spool.condition import SpoolCondition
from streaming.accumulator.spool.losses import Loss
from streaming.alerting.matching.engine import Engine
from streaming.alerting.rules.loading import load_rules
from streaming.events.model import LogEvent
from streaming.events.parse import parse
from streaming.settings import CHECKOUT
from streaming.worker.health import Health

_LOSE = """
from streaming.accumulator.spool.condition import SpoolCondition
from streaming.accumulator.spool.losses import Loss
from streaming.worker.health import Health
from streaming.worker.logs import configure_logs
configure_logs("accumulator2")
condition = SpoolCondition("accumulator2", Health("accumulator2", "spool"))
condition.lost(Loss({kind!r}, "cafe", 5, 9, 1234))
condition.log_losses(100.0)
"""


@pytest.mark.parametrize("kind", ["dropped", "damaged"])
def test_a_loss_is_logged_as_an_error_that_the_default_rules_fire_on(kind: str) -> None:
    """Its line goes to the folder of logs, which accumulator1 follows."""
    ran = subprocess.run(
        [sys.executable, "-c", _LOSE.format(kind=kind)], cwd=CHECKOUT, check=True, capture_output=True, text=True
    )
    (line,) = ran.stderr.splitlines()
    event = parse(line.encode(), received_ns=time.time_ns())
    assert isinstance(event, LogEvent)
    assert "1234" in line
    assert [rule.id for rule in Engine(load_rules(CHECKOUT / "rules")).match(event)] == ["vigil-worker-error"]


def test_troubles_add_up_and_losses_stay_told() -> None:
    health = Health("accumulator1", "spool")
    condition = SpoolCondition("accumulator1", health)

    def check() -> tuple[bool, str]:
        found = health.answer()["checks"]["spool"]
        return found["ok"], found["detail"]

    assert check() == (True, "")
    condition.set("writing", "cannot be written")
    condition.set("room", "full")
    assert check() == (False, "cannot be written; full")
    condition.set("writing", "")
    condition.set("room", "")
    condition.lost(Loss("damaged", "cafe", 5, 6, 7))
    condition.lost(Loss("damaged", "cafe", 8, 8, None))
    assert check() == (True, "3 damaged chunks lost; 7 damaged events lost")
