"""Whom the notifier tells, given who can be told and who was: pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from streaming.alerting.failing_receiver import RECEIVER, RECEIVER_RULE
from streaming.alerting.messages import Action, Notification
from streaming.alerting.routes import CANARY, CONSOLE

LATER = frozenset({Action.UPDATE, Action.REPEAT, Action.RESOLVE})
"""Actions about something that people were told of: whoever was, is told, whatever the rules say by now."""


@dataclass(frozen=True)
class Directory:
    """Who there is to be told. `default` are the receivers of the default route."""

    receivers: frozenset[str]
    default: tuple[str, ...]

    def told(self, notification: Notification, holding: Sequence[str]) -> tuple[str, ...]:
        """Names of the receivers, at least one but for the incident about the console itself, and for notes.

        `holding` are those who were told of the incident, or are about to be, and not yet that it is over. That it is
        over is told to them alone, where there are any: who never heard of it need not hear that it ended. A
        note is told to those alone who were ever told of the incident, which `holding` then are; to nobody where
        there are none.
        """
        if notification.action is Action.ANNOTATE:
            return _once(name for name in holding if name in self.receivers and name != _about(notification))
        named = notification.receivers or self.default
        if notification.action is Action.RESOLVE and holding:
            named = tuple(name for name in named if name in holding)
        if notification.action in LATER:
            named = (*named, *holding)
        known = _once(name for name in named if name in self.receivers and name != _about(notification))
        if len(known) == len(_once(named)) or (known and notification.action is Action.UPDATE):
            return known
        return _once((*known, *self.others(notification, named)))

    def others(self, notification: Notification, tried: Collection[str]) -> tuple[str, ...]:
        """Who is told instead of those who do not take it: the fallback, else the default, else the console; none
        where all of them were tried. Never the receiver whose failing it is about."""
        for path in (notification.fallback, self.default, (CONSOLE,)):
            names = _once(
                name
                for name in path
                if name in self.receivers and name not in tried and name not in (_about(notification), CANARY)
            )
            if names:
                return names
        return ()


def _about(notification: Notification) -> str | None:
    """The receiver whose failing an incident is about."""
    incident = notification.incident
    return incident.group.get(RECEIVER) if incident.rule_id == RECEIVER_RULE else None


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
