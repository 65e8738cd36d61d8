"""What happens when somebody presses a button: who may, what is ordered, what that person is told. No Slack in it.

Slack signs nothing here: a press comes over a connection that was opened with the app's own token, and says who
pressed. What is ordered bears that name in the audit.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streaming.alerting.messages import AuditEntry, Incident, Matcher, Silence
from streaming.alerting.orders import ID_LENGTH, NothingDone, NotYetObeyed, UnknownIncident
from streaming.alerting.receivers.slack.elements import ACKNOWLEDGE, RESOLVE, SILENCE
from streaming.alerting.receivers.slack.mrkdwn import escaped
from streaming.alerting.routing import Routing
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.text import one_line
from streaming.errors import VigilError

SILENCE_S = 3600.0
NAME_LIMIT = 80
KNOWN = frozenset({ACKNOWLEDGE, SILENCE, RESOLVE})


class Gives(Protocol):
    """`streaming.alerting.orders.Orders`, as much of it as buttons need."""

    def incident(self, incident_id: str) -> Incident: ...

    def acknowledge(self, incident_id: str, *, author: str, reason: str = "") -> AuditEntry: ...

    def resolve(self, incident_id: str, *, author: str, reason: str = "") -> AuditEntry: ...

    def silence(
        self, matchers: Sequence[Matcher], *, author: str, reason: str = "", for_s: float, silence_id: str
    ) -> Silence: ...


@dataclass(frozen=True)
class Press:
    """Somebody pressed a button. `key` is the same when Slack tells of the same press again."""

    action: str
    incident_id: str
    user: str
    user_name: str
    channel: str
    key: str


def presses(payload: Mapping[str, object]) -> list[Press]:
    """The presses of Vigil's buttons in a `block_actions` payload; whatever else it holds is left out."""
    if payload.get("type") != "block_actions":
        return []
    user, channel = _dict(payload.get("user")), _dict(payload.get("channel"))
    place = str(channel.get("id") or _dict(payload.get("container")).get("channel_id") or "")
    actions = payload.get("actions")
    found = []
    for action in actions if isinstance(actions, list) else []:
        name, value = str(_dict(action).get("action_id")), str(_dict(action).get("value") or "")
        if name in KNOWN and len(value) == ID_LENGTH and value.isascii() and value.isalnum() and user.get("id"):
            shown = str(user.get("username") or user.get("name") or "")
            key = f"{payload.get('trigger_id')}|{_dict(action).get('action_ts')}|{name}|{value}"
            found.append(Press(name, value, str(user["id"]), one_line(shown, NAME_LIMIT), place, key))
    return found


class Buttons:
    """Obeys presses. May be used by several threads."""

    def __init__(self, orders: Gives, rules: Callable[[], RuleSet], now_ms: Callable[[], int]) -> None:
        self._orders, self._rules, self._now_ms = orders, rules, now_ms

    def answer(self, press: Press) -> str:
        """Does what is asked where it is allowed; the text is for the one who pressed alone, and empty where the
        message itself will show it. Takes some milliseconds; 5 s where no manager works."""
        try:
            return self._obeyed(press)
        except UnknownIncident:
            return f"Incident `{press.incident_id}` is over for longer than it could reopen: nothing done."
        except NothingDone as nothing:
            return f"Nothing done: {escaped(nothing.entry.outcome, 300)}."
        except NotYetObeyed:
            return "Your order waits: no alert manager works now. It is obeyed when one does."
        except VigilError as error:
            return f"Not done: {escaped(str(error), 300)}"

    def _obeyed(self, press: Press) -> str:
        rules = self._rules()
        incident = self._orders.incident(press.incident_id)
        if not Routing(rules).may_acknowledge(incident, press.user, self._now_ms()):
            return f"You may not do this for incident `{press.incident_id}`: its route names who may."
        author = _author(press, rules)
        if press.action == ACKNOWLEDGE:
            self._orders.acknowledge(incident.incident_id, author=author, reason="")
            return ""
        if press.action == RESOLVE:
            self._orders.resolve(incident.incident_id, author=author, reason="")
            return ""
        silence = self._orders.silence(
            [Matcher(name="incident", op="=", value=incident.incident_key)],
            author=author,
            reason="from Slack",
            for_s=SILENCE_S,
            silence_id=_silence_id(press),
        )
        return (
            f"Silenced for 1 h, also if it resolves and comes back. To end it: `vigil silence end {silence.silence_id}`"
        )


def _author(press: Press, rules: RuleSet) -> str:
    """The person of the rules whose member id it is, else as Slack calls that member."""
    known = next((person.name for person in rules.people if person.slack and person.slack == press.user), "")
    return known or (f"{press.user_name} ({press.user})" if press.user_name else press.user)


def _silence_id(press: Press) -> str:
    """The same for the same press: told of twice, it is one silence."""
    return base64.b32encode(hashlib.sha256(press.key.encode("utf-8", "replace")).digest()).decode()[:ID_LENGTH]


def _dict(found: object) -> Mapping[str, object]:
    return found if isinstance(found, dict) else {}
