"""A flood of incidents through real processes, a real Kafka and a Slack that keeps its limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from streaming.alerting.receipts import read_receipts

if TYPE_CHECKING:
    from tests.support.alert_path import AlertPath
    from tests.support.fake_slack import FakeSlack

WaitUntil = Callable[[Callable[[], object], float, str], object]
INCIDENTS = 120


def told(slack: FakeSlack) -> int:
    """Incidents that the channel accounts for."""
    texts = [m.everything for m in slack.messages if m.event == "vigil_digest"]
    totals = [int(total.replace(",", "")) for text in texts for total in re.findall(r"of ([\d,]+) resolved", text)]
    return sum(totals) + sum(m.event == "vigil_incident" for m in slack.messages)


def test_a_flood_is_a_digest_that_survives_the_death_of_the_notifier(
    alert_path: AlertPath, slack: FakeSlack, wait_until: WaitUntil
) -> None:
    # So slow that nobody is held back for posting too fast; what shows a flood is how long the first message took.
    slack.faults.delay_s = 3.0
    alert_path.start()
    for number in range(INCIDENTS):
        alert_path.log(f"E{number}")
    alert_path.flush()
    # Slack has the digest, and has not answered: nobody but its history knows.
    wait_until(lambda: any(m.event == "vigil_digest" for m in slack.messages), 30, "a digest")
    alert_path.kill("notifier")
    assert all(not receipt.digest for receipt in read_receipts(alert_path.settings))
    slack.faults.delay_s = 0.0
    alert_path.start("notifier")
    wait_until(lambda: len(read_receipts(alert_path.settings)) == INCIDENTS, 40, "receipts of all")
    assert told(slack) == INCIDENTS
    assert sum(m.event == "vigil_digest" for m in slack.messages) == 1
    singles = [m.text for m in slack.messages if m.event == "vigil_incident"]
    assert len(set(singles)) == len(singles) <= 15
    shown = {receipt.digest for receipt in read_receipts(alert_path.settings)} - {""}
    assert len(shown) == 1
