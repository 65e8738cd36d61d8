"""Where incidents are told: receivers, and the routes that choose among them."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from streaming.alerting.messages import Incident
from streaming.alerting.rules.base import Duration, Name, ascii_only
from streaming.alerting.rules.conditions import TextCondition
from streaming.alerting.rules.incident_conditions import AttributeName, attribute
from streaming.alerting.rules.strict import Strict

BUILT_IN_RECEIVERS = ("console", "slack", "canary")
"""Receivers that need no entry: `slack` is the one of the settings, `canary` tells nobody."""

BUILT_IN_ROUTES = ("default", "canary")

SHOW_LIFE = ("webhook", "alertmanager", "email", "console")
"""Kinds of receivers that `dead_man` can name (`receivers.base.ShowsLife`)."""

_WEB_ADDRESS = r"^https?://[^\s<>]+$"
WebAddress = Annotated[str, Field(pattern=_WEB_ADDRESS)]
MailAddress = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$"), AfterValidator(ascii_only)]


def is_web_address(text: str) -> bool:
    """Whether a text, such as a secret, is an address that a receiver can have."""
    return re.fullmatch(_WEB_ADDRESS, text) is not None


class Secret(Strict):
    """Where a secret is: never the secret itself, since rule sets are kept in Kafka."""

    env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="environment variable")
    file: str | None = Field(
        None, pattern=r"^(/|~/).", description="file of mode 0600 that holds it, and nothing else; from / or ~/ on"
    )

    @model_validator(mode="after")
    def _is_one(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError("give env or file")
        if self.env is not None and self.env.startswith("VIGIL_"):
            # Vigil refuses to start with a variable VIGIL_... that is none of its settings.
            raise ValueError("env: names that begin with VIGIL_ are for settings; take another")
        return self


class _Receiver(Strict):
    name: Name = Field(description="unique name; routes refer to it")


class SlackReceiver(_Receiver):
    """A channel of Slack."""

    kind: Literal["slack"]
    token: Secret = Field(Secret(env="SLACK_BOT_TOKEN"), description="bot token, xoxb-...")
    channel: str = Field(min_length=1, description="channel id")
    app_token: Secret | None = Field(None, description="app token, xapp-...: buttons that acknowledge and silence")
    messages_per_s: float = Field(1.0, gt=0, allow_inf_nan=False, description="new messages a second")


class WebhookReceiver(_Receiver):
    """A POST of JSON, signed where there is a secret."""

    kind: Literal["webhook"]
    url: WebAddress | Secret = Field(description="address, or where it is kept if it is a secret itself")
    secret: Secret | None = Field(None, description="key of the HMAC-SHA256 signature")


class AlertmanagerReceiver(_Receiver):
    """A POST of what Prometheus' Alertmanager would send to a webhook."""

    kind: Literal["alertmanager"]
    url: WebAddress | Secret = Field(description="address, or where it is kept if it is a secret itself")


class PagerDutyReceiver(_Receiver):
    """Events API v2 of PagerDuty."""

    kind: Literal["pagerduty"]
    routing_key: Secret = Field(description="integration key of the service")
    url: WebAddress = Field("https://events.pagerduty.com/v2/enqueue", description="address of the Events API")


class EmailReceiver(_Receiver):
    """Mail by SMTP."""

    kind: Literal["email"]
    host: str = Field(min_length=1, description="SMTP server")
    port: int = Field(587, ge=1, le=65535, description="its port")
    security: Literal["starttls", "tls", "none"] = Field("starttls", description="none: on loopback only")
    username: str = Field("", description="user of the server, if it wants one")
    password: Secret | None = Field(None, description="that user's password")
    sender: MailAddress = Field(description="address in From")
    to: tuple[MailAddress, ...] = Field(min_length=1, description="recipients")


RECEIVER_KINDS = (SlackReceiver, WebhookReceiver, AlertmanagerReceiver, PagerDutyReceiver, EmailReceiver)

Receiver = Annotated[
    SlackReceiver | WebhookReceiver | AlertmanagerReceiver | PagerDutyReceiver | EmailReceiver,
    Field(discriminator="kind"),
]


class Step(Strict):
    """A step of an escalation."""

    after: Duration = Field(description="time unacknowledged, from when it began to fire")
    to: tuple[Name, ...] = Field((), description="receivers that get a new message; none: those of the route")
    on_call: Name | None = Field(None, description="rotation whose person on call is named in it")


class Route(Strict):
    """Where incidents are told that fit all conditions of `where` (none: every incident) or whose rule names it.

    An incident takes the route its rule names, else the first of all files that fits, else `default`.
    """

    name: Name = Field(description="unique name; `default` is for what no other fits")
    where: dict[AttributeName, TextCondition] | None = Field(
        None, description="conditions on rule, severity, owner, labels.NAME or a field of the group; none: by name only"
    )
    receivers: tuple[Name, ...] = Field(min_length=1, description="who is told")
    fallback: tuple[Name, ...] = Field((), description="who is told where a receiver fails for long")
    on_call: Name | None = Field(None, description="rotation whose person on call is named in messages")
    escalate: tuple[Step, ...] = Field((), description="whom to tell when nobody acknowledges, in order of time")
    may_acknowledge: tuple[Name, ...] = Field(
        (), description="people and rotations who may acknowledge and silence from Slack; none: everybody there"
    )

    @model_validator(mode="after")
    def _rises(self) -> Route:
        times = [step.after for step in self.escalate]
        if times != sorted(times):
            raise ValueError("escalate: the times of its steps must rise")
        return self

    def fits(self, incident: Incident) -> bool:
        """Whether it takes an incident whose rule names no route."""
        return self.where is not None and all(
            condition.fits(attribute(incident, name)) for name, condition in self.where.items()
        )


class DeadMan(Strict):
    """A sign of life that is sent on a schedule: whoever misses it knows that nobody would be told of anything."""

    receiver: Name = Field(description="a receiver of its own, such as a webhook of a dead man's switch")
    every: Duration = Field(60.0, ge=5, description="how often, 1m")
