"""How this installation shows incidents: whom it can call, where links lead, whether there are buttons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streaming.alerting.receivers.links import Links


@dataclass(frozen=True)
class View:
    """What does not depend on the incident. `people` are Slack's member ids by the names of people."""

    people: Mapping[str, str] = field(default_factory=dict)
    links: Links = field(default_factory=Links)
    buttons: bool = False
