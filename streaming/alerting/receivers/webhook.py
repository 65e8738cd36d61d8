"""A POST of JSON for every notification, signed as Standard Webhooks 1.0.0 asks, so that its libraries verify it.

At least once: after an unknown outcome it is sent again, under the same id and with the same body, by which the
receiver knows it (headers `webhook-id` and `Idempotency-Key`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable

from pydantic import SecretStr

from streaming.alerting.messages import Incident, Notification, Receipt
from streaming.alerting.receivers.base import Delivered, Undelivered
from streaming.alerting.receivers.facts import Pages, iso, json_bytes, links, no_pages
from streaming.alerting.receivers.http_post import Endpoint
from streaming.alerting.rules import routes

PREFIX = "whsec_"
"""What follows it is the key in base64, as Standard Webhooks writes keys; any other secret is the key as it stands."""


class WebhookReceiver:
    """Posts to one address; every action is sent. A plain webhook cannot be asked, hence at least once."""

    def __init__(
        self,
        config: routes.WebhookReceiver,
        *,
        url: SecretStr,
        secret: SecretStr | None,
        pages: Pages = no_pages,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name, self._pages = config.name, pages
        self._endpoint, self._secret, self._clock = Endpoint(url), secret, clock

    def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:  # noqa: ARG002
        """Posts the notification.

        Raises:
            Undelivered: it was not taken, or nobody knows.
        """
        key = message_key(notification)
        self._post(key, body_of(notification, key, self._pages))
        return Delivered(key)

    def alive(self, at_ms: int, every_s: float) -> None:
        """Posts a sign of life (type `vigil.alive`).

        Raises:
            Undelivered: it was not taken, or nobody knows.
        """
        body = {"type": "vigil.alive", "timestamp": iso(at_ms), "data": {"next_within_s": every_s}}
        self._post(f"vigil-alive-{at_ms}", json_bytes(body))

    def check(self) -> None:
        """Connects, and reads the secret.

        Raises:
            Undelivered: the address cannot be reached, or the secret is none.
        """
        self._key()
        self._endpoint.reach()

    def close(self) -> None:
        """Closes its connection."""
        self._endpoint.close()

    def _post(self, message_id: str, body: bytes) -> None:
        key, at = self._key(), str(int(self._clock()))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": message_id,
            "webhook-id": message_id,
            "webhook-timestamp": at,
        }
        if key is not None:
            headers["webhook-signature"] = signature(key, message_id, at, body)
        self._endpoint.deliver(body, headers)

    def _key(self) -> bytes | None:
        text = None if self._secret is None else self._secret.get_secret_value()
        if text is None or not text.startswith(PREFIX):
            return None if text is None else text.encode()
        try:
            return base64.b64decode(text.removeprefix(PREFIX), validate=True)
        except ValueError:
            raise Undelivered("bad_secret", f"what follows {PREFIX} is no base64", misconfigured=True) from None


def signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    """`v1,` and the HMAC-SHA256 of `id.timestamp.body` in base64."""
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def message_key(notification: Notification) -> str:
    """The notification's id: the same whenever it is sent, and no other's."""
    incident = notification.incident
    return f"{incident.incident_id}-{incident.reopened}-{incident.version}-{notification.action.value}"


def body_of(notification: Notification, key: str, pages: Pages = no_pages) -> bytes:
    """The body. It depends on the incident's version alone, not on when it is sent: a key never has two bodies."""
    data: dict[str, object] = {
        "key": key,
        "action": notification.action.value,
        "on_call": list(notification.mentions),
        "links": [{"text": text, "href": href} for text, href in links(notification.incident, pages)],
        "incident": _incident(notification.incident),
    }
    if (note := notification.note) is not None:
        data["note"] = {"id": note.note_id, "author": note.author, "text": note.text}
    return json_bytes(
        {
            "type": f"incident.{notification.action.value}",
            "timestamp": iso(notification.incident.updated_ms),
            "data": data,
        }
    )


def _incident(incident: Incident) -> dict[str, object]:
    sample = incident.sample
    return {
        "id": incident.incident_id,
        "opening": incident.reopened,
        "version": incident.version,
        "key": incident.incident_key,
        "rule": incident.rule_id,
        "group": incident.group,
        "severity": incident.severity.value,
        "state": incident.state.value,
        "title": incident.title,
        "text": incident.text,
        "reason": incident.reason,
        "count": incident.count,
        "opened_at": iso(incident.opened_ms),
        "first_seen": iso(incident.first_ms),
        "last_seen": iso(incident.last_ms),
        "updated_at": iso(incident.updated_ms),
        "resolved_at": None if incident.resolved_ms is None else iso(incident.resolved_ms),
        "acknowledged_by": incident.acknowledged_by,
        "muted_by": incident.muted_by,
        "owner": incident.owner,
        "labels": incident.labels,
        "log": {
            "timestamp": iso(sample.timestamp_ms),
            "level": sample.level.name,
            "service": sample.service,
            "node": sample.node_id,
            "message": sample.message,
            "error_code": sample.error_code,
            "error_message": sample.error_message,
            "id": sample.log_id,
            "trace_id": sample.trace_id,
        },
    }
