"""Tells people by one receiver, with neither Kafka nor the manager: for what watches the alert path itself."""

from __future__ import annotations

import base64
import hashlib
import time

from streaming.alerting.candidates import said
from streaming.alerting.messages import Action, Incident, IncidentState, Notification, Severity
from streaming.alerting.receivers import make_receiver, wanted_receivers
from streaming.alerting.receivers.base import Undelivered
from streaming.alerting.routes import CANARY, default_receiver
from streaming.alerting.routing import Routing
from streaming.alerting.rules.base import TEXT_LIMIT, TITLE_LIMIT
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.text import cut, one_line
from streaming.errors import ConfigError, Unavailable
from streaming.settings import Settings

DIRECT_RULE = "vigil-direct"
"""Rule id of what is told so. No incident of the manager's has it: `vigil incidents` does not list it, and nothing
resolves it."""


def send_directly(
    settings: Settings,
    rules: RuleSet,
    receiver_name: str,
    title: str,
    text: str,
    *,
    severity: Severity = Severity.CRITICAL,
) -> None:
    """Returns once the receiver has it: one attempt, at once, at least once. Whoever calls it tries again.

    `receiver_name` is one of the rule files, `console`, or `slack` where the settings have one; empty: the first of
    the default route. The same title at the same receiver is the same incident there, so that PagerDuty and
    Alertmanager show it once, however often it is told.

    Raises:
        ConfigError: there is no such receiver, or it is misconfigured.
        Unavailable: it did not arrive, or nobody knows.
    """
    wanted = wanted_receivers(rules, settings)
    name = receiver_name or (Routing(rules).default_receivers() or (default_receiver(settings),))[0]
    if name not in wanted or name == CANARY:
        possible = ", ".join(sorted(wanted.keys() - {CANARY}))
        raise ConfigError(f"receiver {name!r} tells nobody", remedy=f"Possible: {possible}")
    receiver = make_receiver(wanted[name], settings)
    now_ms = time.time_ns() // 1_000_000
    incident = _incident(name, title, text, severity, now_ms)
    try:
        receiver.deliver(Notification(action=Action.OPEN, incident=incident, created_ms=now_ms), None, False)
    except Undelivered as failure:
        reason = f"receiver {name}: not delivered: {failure}"
        raise (ConfigError(reason) if failure.misconfigured else Unavailable(reason)) from failure


def _incident(receiver: str, title: str, text: str, severity: Severity, now_ms: int) -> Incident:
    named = hashlib.sha256(f"{receiver}\n{title}".encode("utf-8", "surrogatepass")).digest()
    return Incident(
        incident_id="DIRECT" + base64.b32encode(named).decode()[:10],
        incident_key=f"{DIRECT_RULE}|title={one_line(title, TITLE_LIMIT)}",
        rule_id=DIRECT_RULE,
        group={},
        severity=severity,
        title=one_line(title, TITLE_LIMIT),
        state=IncidentState.FIRING,
        # Webhooks know what they had by id and version: each call is news.
        version=now_ms,
        count=1,
        opened_ms=now_ms,
        first_ms=now_ms,
        last_ms=now_ms,
        updated_ms=now_ms,
        last_received_ms=now_ms,
        firing_since_ms=now_ms,
        sample=said(text, now_ms, "vigil"),
        resolve_after_s=None,
        text=cut(text, TEXT_LIMIT),
    )
