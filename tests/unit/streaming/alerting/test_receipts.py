"""Which receipts may be given up, and when."""

from __future__ import annotations

import pytest

from streaming.alerting.messages import Action, IncidentState, Receipt
from streaming.alerting.receipts import KEEP_RESOLVED_MS, SKEW_MS, Horizon, expired, is_over
from tests.support.incidents import plain_receipt

DAY_MS = KEEP_RESOLVED_MS
NOW_MS = 100 * DAY_MS


def receipt(
    sent_ms: int,
    action: Action = Action.RESOLVE,
    state: IncidentState | None = IncidentState.RESOLVED,
    incident_id: str = "A",
    digest: str = "",
) -> Receipt:
    return plain_receipt(incident_id=incident_id, action=action, sent_ms=sent_ms, state=state, digest=digest)


@pytest.mark.parametrize(
    ("action", "state", "over"),
    [
        (Action.RESOLVE, IncidentState.RESOLVED, True),
        (Action.RESOLVE, None, True),
        (Action.UPDATE, IncidentState.RESOLVED, True),
        (Action.UPDATE, IncidentState.FIRING, False),
        (Action.REOPEN, IncidentState.FIRING, False),
        (Action.OPEN, None, False),
    ],
)
def test_what_is_over_expires_whatever_was_done_last(action: Action, state: IncidentState | None, over: bool) -> None:
    old = receipt(NOW_MS - 2 * DAY_MS, action, state)
    assert is_over(old) is over
    assert expired([old], NOW_MS, NOW_MS) == ([old] if over else [])


def test_receipts_expire_after_a_day_unless_older_notifications_are_unfinished() -> None:
    young, old, older = (receipt(NOW_MS - days * DAY_MS, incident_id=str(days)) for days in (0, 2, 4))
    assert expired([young, old, older], NOW_MS, NOW_MS) == [old, older]
    assert expired([young, old, older], NOW_MS, NOW_MS - 3 * DAY_MS) == [older]


def test_of_a_digest_all_expire_or_none() -> None:
    members = [receipt(NOW_MS - days * DAY_MS, incident_id=str(days), digest="D") for days in (2, 4)]
    assert expired(members, NOW_MS, NOW_MS - 3 * DAY_MS) == []
    assert expired(members, NOW_MS, NOW_MS) == members


def test_the_horizon_is_the_oldest_that_is_not_committed() -> None:
    horizon = Horizon()
    assert horizon.needed_ms(None, NOW_MS) is None, "it is not active"
    horizon.begin(None)
    assert horizon.needed_ms(None, NOW_MS) is None, "what is uncommitted was not read yet"
    horizon.read(NOW_MS - 5 * DAY_MS)
    horizon.read(NOW_MS - 4 * DAY_MS)
    assert horizon.needed_ms(NOW_MS - 4 * DAY_MS, NOW_MS) == NOW_MS - 5 * DAY_MS - SKEW_MS
    assert horizon.needed_ms(None, NOW_MS) == NOW_MS - 4 * DAY_MS - SKEW_MS, "its commit may be under way"
    assert horizon.needed_ms(None, NOW_MS + 1) == NOW_MS - SKEW_MS


def test_where_nothing_is_uncommitted_age_alone_counts() -> None:
    horizon = Horizon()
    horizon.begin(NOW_MS)
    assert horizon.needed_ms(None, NOW_MS + 5) == NOW_MS - SKEW_MS
