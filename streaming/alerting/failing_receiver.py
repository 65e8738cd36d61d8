"""The incident that says that a receiver fails: what the notifier tells the manager of it."""

from __future__ import annotations

from streaming.alerting.candidates import said
from streaming.alerting.messages import Candidate, Recovery, Severity
from streaming.alerting.rules.base import TITLE_LIMIT
from streaming.alerting.text import one_line

RECEIVER_RULE = "vigil-receiver"
"""Rule id of these incidents; there is one for each receiver."""

RECEIVER = "receiver"
"""Field of the group that names the receiver."""

TELL_AGAIN_S = 60.0
RESOLVE_AFTER_S = 900.0
"""A receiver that still fails is told of again every minute, and its incident resolves when nothing was told for 15.
The notifier says itself when a receiver delivers again; the time is for one that was taken out of the rules while no
notifier ran. A notifier that is started again first tries for `fall_back_after_s` (5 minutes), and must not let the
incident of a receiver that fails all the time resolve and reopen."""


def failing(receiver: str, reason: str, now_ms: int) -> Candidate:
    """A receiver does not take messages; what waited for it goes to others."""
    return Candidate(
        rule_id=RECEIVER_RULE,
        group={RECEIVER: receiver},
        severity=Severity.ERROR,
        title=one_line(f"Receiver {receiver} does not take messages: {reason}", TITLE_LIMIT),
        count=1,
        first_ms=now_ms,
        last_ms=now_ms,
        received_ms=now_ms,
        sample=said(f"{reason}. Its messages go to the fallback.", now_ms, "vigil-notifier"),
        resolve_after_s=RESOLVE_AFTER_S,
        route="",
    )


def recovered(receiver: str, reason: str, now_ms: int) -> Recovery:
    """It takes messages again, or is no more."""
    return Recovery(rule_id=RECEIVER_RULE, group={RECEIVER: receiver}, received_ms=now_ms, reason=reason)
