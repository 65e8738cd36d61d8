"""PagerDuty's Events API v2 on a loopback port, by its documentation.

What it enforces: the routing key, the three actions, required fields, lengths, severities, 512 KB, JSON. What it does:
one alert for each deduplication key as long as it is open; a trigger after a resolution opens another; acknowledge and
resolve without an open alert are dropped. Its throttle answers 429.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime

from tests.support.fake_http import FakeHttp, Reply, Request

ROUTING_KEY = "0123456789abcdef0123456789abcdef"
SIZE_LIMIT = 512 * 1024
SUMMARY_LIMIT, KEY_LIMIT = 1024, 255
ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES = ("critical", "warning", "error", "info")


@dataclass
class Alert:
    """What people are paged for."""

    dedup_key: str
    payload: dict[str, object]
    links: list[object]
    state: str = "triggered"
    log: list[str] = field(default_factory=list)


class FakePagerDuty(FakeHttp):
    """`alerts` in order of opening; `dropped` counts events that had no open alert."""

    def __init__(self) -> None:
        super().__init__()
        self.alerts: list[Alert] = []
        self.dropped = 0
        self.retry_after: str | None = None
        """The next event is throttled, and this is its Retry-After ("" for none)."""

    @property
    def enqueue(self) -> str:
        return f"{self.url}/v2/enqueue"

    def reset(self) -> None:
        super().reset()
        self.alerts.clear()
        self.dropped, self.retry_after = 0, None

    def open_alert(self, key: str) -> Alert | None:
        return next((a for a in self.alerts if a.dedup_key == key and a.state != "resolved"), None)

    def decide(self, request: Request) -> Reply:
        if request.path != "/v2/enqueue":
            return Reply(404)
        if self.retry_after is not None:
            headers = {"Retry-After": self.retry_after} if self.retry_after else {}
            self.retry_after = None
            return Reply(429, headers)
        if len(request.body) > SIZE_LIMIT:
            return Reply(413)
        try:
            # Duplicate keys and NaN are no JSON that everybody reads alike.
            event = json.loads(request.body.decode("utf-8"), parse_constant=_no_constant)
        except ValueError:
            return _invalid("Invalid JSON")
        errors = _errors(event)
        if errors:
            return _invalid(*errors)
        self._apply(event)
        answer = {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]}
        return Reply(202, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def _apply(self, event: dict[str, object]) -> None:
        key, action = str(event["dedup_key"]), str(event["event_action"])
        alert = self.open_alert(key)
        if alert is None and action == "trigger":
            payload, links = event["payload"], event.get("links") or []
            assert isinstance(payload, dict)
            assert isinstance(links, list)
            alert = Alert(key, payload, links)
            self.alerts.append(alert)
        if alert is None:
            self.dropped += 1
            return
        alert.log.append(action)
        if action == "acknowledge":
            alert.state = "acknowledged"
        elif action == "resolve":
            alert.state = "resolved"


def _invalid(*errors: str) -> Reply:
    body = {"status": "invalid event", "message": "Event object is invalid", "errors": list(errors)}
    return Reply(400, {"Content-Type": "application/json"}, json.dumps(body).encode())


def _no_constant(text: str) -> None:
    raise ValueError(text)


def _errors(event: object) -> list[str]:
    if not isinstance(event, dict):
        return ["Event object is not an object"]
    errors: list[str] = []
    key = event.get("routing_key")
    if not isinstance(key, str) or len(key) != 32:
        errors.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    elif key != ROUTING_KEY:
        errors.append("Invalid routing key")
    if event.get("event_action") not in ACTIONS:
        errors.append("'event_action' is missing or invalid")
    dedup_key = event.get("dedup_key")
    if dedup_key is None and event.get("event_action") != "trigger":
        errors.append("'dedup_key' is missing or blank")
    # Without one PagerDuty makes one up; then nothing can be resolved, which no sender of ours may do.
    if not isinstance(dedup_key, str) or not 1 <= len(dedup_key) <= KEY_LIMIT:
        errors.append("Length of 'dedup_key' is incorrect (should be 1 to 255 characters)")
    if event.get("event_action") == "trigger":
        errors += _payload_errors(event.get("payload"))
        for link in event.get("links") or []:
            if not isinstance(link, dict) or not str(link.get("href", "")).startswith(("http://", "https://")):
                errors.append("'links.href' is missing or invalid")
    return errors


def _payload_errors(payload: object) -> list[str]:
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    errors = [
        f"'payload.{name}' is missing or blank"
        for name in ("summary", "source", "severity")
        if not isinstance(payload.get(name), str) or not payload[name].strip()
    ]
    if len(str(payload.get("summary"))) > SUMMARY_LIMIT:
        errors.append("Length of 'payload.summary' is incorrect (should be at most 1024 characters)")
    if payload.get("severity") not in SEVERITIES:
        listed = "'critical', 'warning', 'error' or 'info'"
        errors.append(f"'payload.severity' is invalid (must be one of the following: {listed})")
    errors += [
        f"'payload.{name}' is not a string"
        for name in ("component", "group", "class")
        if not isinstance(payload.get(name, ""), str)
    ]
    if not isinstance(payload.get("custom_details", {}), dict):
        errors.append("'payload.custom_details' is not an object")
    try:
        datetime.fromisoformat(str(payload.get("timestamp", "2026-01-01T00:00:00Z")))
    except ValueError:
        errors.append("'payload.timestamp' is not an ISO 8601 time")
    return errors
