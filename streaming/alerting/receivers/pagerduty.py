"""PagerDuty by its Events API v2. Exactly once: each opening of an incident has a deduplication key of its own, under
which PagerDuty keeps one alert, however often it is told of it.
"""

from __future__ import annotations

import msgspec
from pydantic import SecretStr

from streaming.alerting.messages import Action, Incident, IncidentState, Notification, Receipt, Severity
from streaming.alerting.receivers.base import Delivered, Undelivered
from streaming.alerting.receivers.facts import (
    Pages,
    clean,
    facts,
    group_text,
    is_open_there,
    is_told_anew,
    iso,
    json_bytes,
    links,
    log_text,
    no_pages,
)
from streaming.alerting.receivers.http_post import Answer, Endpoint, refusal
from streaming.alerting.rules import routes
from streaming.alerting.text import one_line

SUMMARY_LIMIT = 1024
KEY_LIMIT = 255
EVENT_LIMIT = 512 * 1000
"""What the Events API takes: characters of a summary and of a key, bytes of an event."""

WORD_LIMIT = 255
"""Characters of source, component, group and class: one line of PagerDuty's page."""

CHECK_KEY = "vigil-check"
"""No alert has this key: PagerDuty answers for the routing key, and drops the event."""


_SEVERITIES = {
    Severity.CRITICAL: "critical",
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.INFO: "info",
}


class _Refused(Undelivered):
    """PagerDuty does not take this event."""


class PagerDutyReceiver:
    """Sends the events of one integration. A receipt's `message_id` is the key of the alert that is open there."""

    def __init__(self, config: routes.PagerDutyReceiver, *, routing_key: SecretStr, pages: Pages = no_pages) -> None:
        self.name, self._pages = config.name, pages
        self._routing_key, self._endpoint = routing_key, Endpoint(SecretStr(config.url))

    def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:
        """Triggers, acknowledges or resolves; an update that PagerDuty would only log is not sent, nor a note: the
        Events API has none, and a trigger that carried it would page again where somebody had resolved the alert.

        Raises:
            Undelivered: it was not taken, or nobody knows.
        """
        incident = notification.incident
        key = key_of(incident, receipt)
        if notification.action is Action.ANNOTATE:
            return Delivered(key)
        if notification.action is Action.RESOLVE:
            self._send("resolve", key)
            return Delivered(key)
        # Where an alert is open a trigger is no more than a line in its log. After an unknown outcome it may have been
        # resolved since, and a trigger would page somebody again.
        if is_told_anew(notification, receipt) and not (look_first and is_open_there(receipt)):
            self._trigger(notification, key)
        was = receipt.state if receipt is not None and is_open_there(receipt) else None
        if incident.state is IncidentState.ACKNOWLEDGED and was is not IncidentState.ACKNOWLEDGED:
            self._send("acknowledge", key)
        return Delivered(key)

    def check(self) -> None:
        """Asks whether the routing key is good, by resolving an alert that is not there: it raises nothing.

        Raises:
            Undelivered: it is not, or PagerDuty is away.
        """
        self._send("resolve", CHECK_KEY)

    def close(self) -> None:
        """Closes its connection."""
        self._endpoint.close()

    def _trigger(self, notification: Notification, key: str) -> None:
        """Without the details where PagerDuty does not take them: a plain alert beats none."""
        whole = event_of(notification, self._pages)
        try:
            self._send("trigger", key, whole)
        except _Refused:
            payload = whole["payload"]
            assert isinstance(payload, dict)
            reduced = {name: payload[name] for name in ("summary", "source", "severity")}
            self._send("trigger", key, {"payload": reduced})

    def _send(self, action: str, key: str, content: dict[str, object] | None = None) -> None:
        event = {"routing_key": self._routing_key.get_secret_value(), "event_action": action, "dedup_key": key}
        body = json_bytes(event | (content or {}))
        if len(body) > EVENT_LIMIT:
            raise _Refused("too_large", f"{len(body)} bytes", only_this=True)
        answer = self._endpoint.post(body, {"Content-Type": "application/json"})
        if answer.status in (400, 413):
            raise self._refused(answer)
        failure = refusal(answer, self._endpoint.host)
        if failure is not None:
            raise failure

    def _refused(self, answer: Answer) -> Undelivered:
        key = self._routing_key.get_secret_value()
        said = what_it_says(answer.body).replace(key or "***", "***")
        if "routing" in said.lower():
            return Undelivered("routing_key", said, misconfigured=True)
        return _Refused(f"http_{answer.status}", said, only_this=True)


def key_of(incident: Incident, receipt: Receipt | None) -> str:
    """The key of the alert that is about this opening: of the one that is open there, else of the next.

    Openings count here as this receiver was told of them: those that merged while they waited are one. So an attempt
    of which nobody knows whether it arrived has the same key as the one after it, whatever merged meanwhile.
    """
    before = receipt.message_id if receipt is not None else None
    if before and (is_open_there(receipt) or incident.state is IncidentState.RESOLVED):
        return before
    number = (before or "").rpartition("-")[2]
    return dedup_key(incident.incident_id, int(number) + 1 if number.isdecimal() else 0)


def dedup_key(incident_id: str, opening: int) -> str:
    """The key of one opening of an incident."""
    return f"{incident_id[: KEY_LIMIT - 20]}-{opening}"


def event_of(notification: Notification, pages: Pages = no_pages) -> dict[str, object]:
    """What a trigger says, within PagerDuty's limits; all but key and action."""
    incident = notification.incident
    sample = incident.sample
    details: dict[str, object] = {name: clean(value) for name, value in facts(notification)}
    details |= {"Log text": clean(log_text(incident))}
    if incident.text:
        details["Text"] = clean(incident.text)
    if incident.labels:
        details["Labels"] = {clean(name): clean(value) for name, value in incident.labels.items()}
    words = {
        "component": one_line(sample.service, WORD_LIMIT),
        "group": one_line(group_text(incident), WORD_LIMIT),
        "class": one_line(incident.rule_id, WORD_LIMIT),
    }
    return {
        "client": "Vigil",
        "payload": {
            "summary": _filled(incident.title, incident.rule_id, SUMMARY_LIMIT),
            "source": _filled(sample.node_id, sample.service, WORD_LIMIT),
            "severity": _SEVERITIES[incident.severity],
            "timestamp": iso(incident.opened_ms),
            **{name: word for name, word in words.items() if word},
            "custom_details": details,
        },
        "links": [{"href": href, "text": text} for text, href in links(incident, pages)],
    }


def what_it_says(body: bytes) -> str:
    """The errors of PagerDuty's answer, as one line."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "an answer that is no JSON"
    errors = answer.get("errors") or answer.get("message") if isinstance(answer, dict) else None
    listed = errors if isinstance(errors, list) else [errors]
    return one_line("; ".join(str(error) for error in listed if error), 300) or "no reason given"


def _filled(text: str, otherwise: str, limit: int) -> str:
    """PagerDuty takes no blank here."""
    return one_line(text, limit) or one_line(otherwise, limit) or "Vigil"
