"""What Prometheus' Alertmanager posts to a webhook (payload version 4), for receivers that understand that.

At least once: after an unknown outcome the same alert is posted again, with the same fingerprint and start, as
Alertmanager itself repeats alerts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

from pydantic import SecretStr

from streaming.alerting.messages import Incident, IncidentState, Notification, Receipt
from streaming.alerting.receivers.base import Delivered
from streaming.alerting.receivers.facts import Pages, clean, is_told_anew, iso, json_bytes, log_text, no_pages
from streaming.alerting.receivers.http_post import Endpoint
from streaming.alerting.rules import routes

NEVER = "0001-01-01T00:00:00Z"
"""When an alert ends that goes on, as Alertmanager writes it."""

WATCHDOG = "Watchdog"
"""The alert that always fires, by which Prometheus' rules show life, and which dead man's switches wait for."""

_NO_NAME = re.compile(r"[^a-zA-Z0-9_]")


class AlertmanagerReceiver:
    """Posts to one address. Alertmanager knows no acknowledgement and no counts: an update is posted only where the
    severity rose."""

    def __init__(self, config: routes.AlertmanagerReceiver, *, url: SecretStr, pages: Pages = no_pages) -> None:
        self.name, self._pages = config.name, pages
        self._endpoint = Endpoint(url)

    def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:  # noqa: ARG002
        """Posts the incident as a firing or resolved alert.

        Raises:
            Undelivered: it was not taken, or nobody knows.
        """
        if is_told_anew(notification, receipt):
            self._post(payload(notification, self.name, self._pages))
        return Delivered(fingerprint(notification.incident.incident_key))

    def alive(self, at_ms: int, every_s: float) -> None:
        """Posts the alert `Watchdog`, which fires for as long as all is well.

        Raises:
            Undelivered: it was not taken, or nobody knows.
        """
        labels = {"alertname": WATCHDOG, "severity": "none"}
        alert = {
            "status": "firing",
            "labels": labels,
            "annotations": {"summary": f"Vigil's alert path works; the next sign follows within {every_s:g} s"},
            "startsAt": iso(at_ms),
            "endsAt": NEVER,
            "generatorURL": "",
            "fingerprint": fingerprint(WATCHDOG),
        }
        self._post(_group_of(alert, labels, self.name))

    def check(self) -> None:
        """Connects.

        Raises:
            Undelivered: the address cannot be reached.
        """
        self._endpoint.reach()

    def close(self) -> None:
        """Closes its connection."""
        self._endpoint.close()

    def _post(self, content: dict[str, object]) -> None:
        self._endpoint.deliver(json_bytes(content), {"Content-Type": "application/json"})


def payload(notification: Notification, receiver: str, pages: Pages = no_pages) -> dict[str, object]:
    """One group of one alert: an incident's rule and group are what Alertmanager would group by."""
    incident = notification.incident
    group = {"alertname": incident.rule_id} | _labels(incident.group)
    labels = _labels(incident.labels) | group | {"severity": incident.severity.value}
    ended = incident.resolved_ms if incident.state is IncidentState.RESOLVED else None
    alert = {
        "status": "firing" if ended is None else "resolved",
        "labels": labels,
        "annotations": _annotations(notification),
        "startsAt": iso(incident.opened_ms),
        "endsAt": NEVER if ended is None else iso(ended),
        "generatorURL": next((address for _, address in pages(incident)), ""),
        "fingerprint": fingerprint(incident.incident_key),
    }
    return _group_of(alert, group, receiver)


def fingerprint(key: str) -> str:
    """Sixteen hexadecimal digits, as Alertmanager's; of rule and group, which a rising severity leaves as it
    is."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:16]


def _group_of(alert: Mapping[str, object], group: Mapping[str, str], receiver: str) -> dict[str, object]:
    pairs = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in sorted(group.items()))
    return {
        "version": "4",
        "groupKey": f"{{}}:{{{pairs}}}",
        "truncatedAlerts": 0,
        "status": alert["status"],
        "receiver": receiver,
        "groupLabels": group,
        "commonLabels": alert["labels"],
        "commonAnnotations": alert["annotations"],
        "externalURL": "",
        "alerts": [alert],
    }


def _labels(found: Mapping[str, str]) -> dict[str, str]:
    """Names as Prometheus takes them: `service.name` is `service_name`. Of names that become one, the last stays; one
    without a value is none."""
    labels = {}
    for name, value in sorted(found.items()):
        plain = _NO_NAME.sub("_", name)
        if value and plain:
            labels[f"_{plain}" if plain[0].isdigit() else plain] = clean(value)
    return labels


def _annotations(notification: Notification) -> dict[str, str]:
    incident: Incident = notification.incident
    sample = incident.sample
    found = {
        "summary": incident.title or incident.rule_id,
        "description": incident.text or log_text(incident),
        "runbook_url": incident.runbook,
        "log": log_text(incident),
        "service": sample.service,
        "node": sample.node_id,
        "trace_id": sample.trace_id,
        "count": str(incident.count),
        "first_seen": iso(incident.first_ms),
        "last_seen": iso(incident.last_ms),
        "incident": incident.incident_id,
        "reason": incident.reason,
        "owner": incident.owner,
        "on_call": ", ".join(notification.mentions),
    }
    return {name: clean(value) for name, value in found.items() if value}
