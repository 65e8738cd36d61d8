"""What a press of a button does: who may, what is ordered, what is answered."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.messages import AuditEntry, Incident, Matcher, Order, Silence
from streaming.alerting.orders import NothingDone, NotYetObeyed, UnknownIncident
from streaming.alerting.receivers.slack.buttons import Buttons, Press, presses
from streaming.alerting.receivers.slack.elements import ACKNOWLEDGE, RESOLVE, SILENCE
from streaming.alerting.rules.ruleset import RuleSet
from streaming.errors import Unavailable, VigilError
from tests.support.told import NOON_MS, incident

RULES = RuleSet.model_validate(
    {
        "people": [{"name": "ada", "slack": "U0ADA0000"}, {"name": "bob", "slack": "U0BOB0000"}],
        "routes": [{"name": "shop", "receivers": ["console"], "may_acknowledge": ["ada"]}],
    }
)


class Orders:
    """Writes down what it is ordered, or fails as told."""

    def __init__(self, failure: VigilError | None = None) -> None:
        self.given: list[tuple[str, ...]] = []
        self.failure = failure

    def incident(self, incident_id: str) -> Incident:
        if incident_id == "UNKNOWN000":
            raise UnknownIncident("none")
        return incident(incident_id=incident_id, route="shop" if incident_id.startswith("S") else "default")

    def acknowledge(self, incident_id: str, *, author: str, reason: str = "") -> AuditEntry:
        return self._gave("acknowledge", incident_id, author)

    def resolve(self, incident_id: str, *, author: str, reason: str = "") -> AuditEntry:
        return self._gave("resolve", incident_id, author)

    def silence(
        self, matchers: Sequence[Matcher], *, author: str, reason: str = "", for_s: float, silence_id: str
    ) -> Silence:
        (matcher,) = matchers
        self._gave("silence", f"{matcher.name}{matcher.op}{matcher.value}", author, f"{for_s:g}", silence_id)
        return Silence(
            silence_id=silence_id,
            matchers=tuple(matchers),
            starts_ms=0,
            ends_ms=1,
            author=author,
            reason=reason,
            created_ms=0,
        )

    def _gave(self, *what: str) -> AuditEntry:
        if self.failure is not None:
            raise self.failure
        self.given.append(what)
        return entry("done")


def entry(outcome: str) -> AuditEntry:
    return AuditEntry(at_ms=0, author="a", order=Order.ACKNOWLEDGE, target="t", reason="", outcome=outcome)


def press(action: str = ACKNOWLEDGE, incident_id: str = "ABCDEFGHIJ", user: str = "U0ADA0000") -> Press:
    return Press(action, incident_id, user, "eve", "C0123456789", "key")


def answered(orders: Orders, pressed: Press) -> str:
    return Buttons(orders, lambda: RULES, lambda: NOON_MS).answer(pressed)


def test_each_button_gives_its_order_in_the_name_of_the_person() -> None:
    orders = Orders()
    assert answered(orders, press(ACKNOWLEDGE)) == ""
    assert answered(orders, press(RESOLVE)) == ""
    told = answered(orders, press(SILENCE))
    assert orders.given[:2] == [("acknowledge", "ABCDEFGHIJ", "ada"), ("resolve", "ABCDEFGHIJ", "ada")]
    what, matcher, author, for_s, silence_id = orders.given[2]
    assert (what, matcher, author, for_s) == ("silence", "incident=r|service.name=order", "ada", "3600")
    assert told.endswith(f"`vigil silence end {silence_id}`")


def test_told_of_one_press_twice_it_is_one_silence() -> None:
    orders = Orders()
    answered(orders, press(SILENCE))
    answered(orders, press(SILENCE))
    assert orders.given[0] == orders.given[1]


def test_who_may_is_said_by_the_route() -> None:
    orders = Orders()
    assert "may not" in answered(orders, press(incident_id="S123456789", user="U0BOB0000"))
    assert orders.given == []
    assert answered(orders, press(incident_id="S123456789")) == ""
    assert answered(orders, press(user="U0EVE0000")) == "", "where the route names nobody, everybody may"
    assert [author for _, _, author in orders.given] == ["ada", "eve (U0EVE0000)"]


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (NothingDone(entry("it is resolved <!here>")), "Nothing done: it is resolved &lt;!here&gt;."),
        (Unavailable("Kafka is away"), "Not done: Kafka is away"),
    ],
)
def test_why_nothing_was_done_is_answered(failure: VigilError, told: str) -> None:
    assert answered(Orders(failure), press()) == told


def test_an_order_that_waits_and_an_incident_that_is_forgotten() -> None:
    waits = NotYetObeyed.__new__(NotYetObeyed)
    assert "waits" in answered(Orders(waits), press())
    assert "nothing done" in answered(Orders(), press(incident_id="UNKNOWN000"))


def payload(**changes: object) -> dict[str, object]:
    return {
        "type": "block_actions",
        "trigger_id": "1.2",
        "user": {"id": "U1", "username": "eve\x1b[31m"},
        "container": {"channel_id": "C1"},
        "actions": [
            {"action_id": ACKNOWLEDGE, "value": "ABCDEFGHIJ", "action_ts": "3.4"},
            {"action_id": "another_app", "value": "ABCDEFGHIJ"},
            {"action_id": SILENCE, "value": "x" * 2000},
            "nonsense",
        ],
    } | changes


def test_presses_of_vigils_own_buttons_are_read() -> None:
    assert presses(payload()) == [
        Press(ACKNOWLEDGE, "ABCDEFGHIJ", "U1", "eve [31m", "C1", f"1.2|3.4|{ACKNOWLEDGE}|ABCDEFGHIJ")
    ]
    assert presses(payload(type="view_submission")) == []
    assert presses(payload(user=None)) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([ACKNOWLEDGE, "block_actions"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "action_id", "value", "username", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["user", "channel", "container", "actions", "trigger_id"]), JSON))
def test_any_payload_is_read(rest: dict[str, object]) -> None:
    presses({"type": "block_actions"} | rest)
