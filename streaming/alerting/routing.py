"""Whom an incident is told to: routes, who is on call, escalation. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from streaming.alerting.failing_receiver import RECEIVER, RECEIVER_RULE
from streaming.alerting.messages import Action, Incident, Notification
from streaming.alerting.on_call import on_call
from streaming.alerting.routes import CANARY, CONSOLE, DEFAULT, SLACK
from streaming.alerting.rules.routes import Route, Step
from streaming.alerting.rules.ruleset import RuleSet

CANARY_ROUTE = Route(name=CANARY, receivers=(CANARY,))


class Routing:
    """The routes, rotations and people of a rule set. Keeps nothing."""

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._routes = {CANARY: CANARY_ROUTE} | {route.name: route for route in rules.routes}
        self._rotations = {rotation.name: rotation for rotation in rules.rotations}
        self._people = {person.name: person for person in rules.people}

    def route_of(self, incident: Incident) -> Route | None:
        """The route that its rule names, else the first that fits, else `default`; None where the files declare none
        of that name: it is told to the notifier's default receiver, and nobody is on call."""
        named = self._routes.get(incident.route)
        if named is not None:
            return named
        if incident.route != DEFAULT:
            for route in self._rules.routes:
                if route.fits(incident):
                    return route
        return self._routes.get(DEFAULT)

    def steps_of(self, incident: Incident) -> Sequence[int]:
        """After how many ms unacknowledged each step of its escalation is due, rising."""
        route = self.route_of(incident)
        return () if route is None else [round(step.after * 1000) for step in route.escalate]

    def addressed(self, notification: Notification, now_ms: int) -> Notification:
        """The notification with its receivers, their fallbacks, and whom to call by name.

        An escalation goes to the receivers of its step; what comes later of the incident goes to those of the steps
        taken as well as to those of the route. Nobody is called by name about what is over, nor by
        a note.
        """
        incident = notification.incident
        route = self.route_of(incident)
        if route is None:
            receivers, fallback, mentions = tuple[str, ...](), tuple[str, ...](), tuple[str, ...]()
        else:
            receivers, mentions = self._told(route, notification, now_ms)
            fallback = route.fallback
        if incident.rule_id == RECEIVER_RULE:
            receivers, fallback = self._by_another_path(receivers, fallback, incident.group.get(RECEIVER, ""))
        return msgspec.structs.replace(notification, receivers=receivers, fallback=fallback, mentions=mentions)

    def default_receivers(self) -> tuple[str, ...]:
        """Those of the route `default`; empty: the notifier's default receiver."""
        route = self._routes.get(DEFAULT)
        return () if route is None else route.receivers

    def may_acknowledge(self, incident: Incident, slack_user: str, now_ms: int) -> bool:
        """Whether a member of Slack may acknowledge and silence this incident there.

        Everybody may where the route names nobody. Else these may: the people it names, who is on call in the
        rotations it names, and whoever its messages call by name.
        """
        route = self.route_of(incident)
        if route is None or not route.may_acknowledge:
            return True
        called = [route.on_call, *(step.on_call for step in route.escalate[: incident.escalated])]
        on_duty = self._on_call([*route.may_acknowledge, *called], now_ms)
        names = {*route.may_acknowledge, *on_duty}
        return bool(slack_user) and any(
            person.slack == slack_user for name in names if (person := self._people.get(name)) is not None
        )

    # ------------------------------------------------------------------------------------------- within

    def _told(self, route: Route, notification: Notification, now_ms: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Receivers, and who is called by name."""
        taken = route.escalate[: notification.incident.escalated]
        match notification.action:
            case Action.ESCALATE if taken:
                step = taken[-1]
                return self._of_step(step, route), self._on_call([step.on_call or route.on_call], now_ms)
            case Action.OPEN | Action.REOPEN:
                return route.receivers, self._on_call([route.on_call], now_ms)
            case _:
                receivers = _once([*route.receivers, *(name for step in taken for name in step.to)])
                if notification.action in (Action.RESOLVE, Action.ANNOTATE):
                    return receivers, ()
                called = [route.on_call, *(step.on_call for step in taken[-1:])]
                return receivers, self._on_call(called, now_ms)

    def _of_step(self, step: Step, route: Route) -> tuple[str, ...]:
        return step.to or route.receivers

    def _on_call(self, rotations: Iterable[str | None], now_ms: int) -> tuple[str, ...]:
        found = [self._rotations[name] for name in rotations if name in self._rotations]
        return _once(person for one in found if (person := on_call(one, now_ms)) is not None)

    def _by_another_path(
        self, receivers: Sequence[str], fallback: Sequence[str], failing: str
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Receivers and fallbacks of the incident that says that a receiver fails: never that receiver itself."""
        paths = [[name for name in path if name != failing] for path in (receivers, fallback, self.default_receivers())]
        # Without any other it is the notifier's default receiver, which may be the failing one itself.
        chosen = next((path for path in paths if path), [CONSOLE] if failing == SLACK else [])
        return tuple(chosen), _once(name for path in paths for name in path if name not in chosen)


def may_acknowledge(rules: RuleSet, incident: Incident, slack_user_id: str, now_ms: int) -> bool:
    """`Routing.may_acknowledge` of a rule set."""
    return Routing(rules).may_acknowledge(incident, slack_user_id, now_ms)


def _once(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once, in order of its first place."""
    return tuple(dict.fromkeys(names))
