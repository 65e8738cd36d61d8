"""Which receivers an incident is told to, who is called by name, and who may acknowledge it."""

from __future__ import annotations

import pytest

from streaming.alerting.failing_receiver import failing
from streaming.alerting.incidents.lifecycle import Policy, on_candidate
from streaming.alerting.messages import Action, Candidate, Incident, Notification, Severity
from streaming.alerting.routing import Routing, may_acknowledge
from streaming.alerting.rules.ruleset import RuleSet
from tests.support.incidents import plain_incident, plain_sample

START = 1_772_438_400_000  # 2026-03-02T08:00:00Z
DAY = 86_400_000
SAMPLE = plain_sample(service="order", node_id="n1")

RULES = RuleSet.model_validate(
    {
        "people": [
            {"name": "ann", "slack": "U0ANN0000"},
            {"name": "ben", "slack": "U0BEN0000"},
            {"name": "chief", "slack": "U0CHIEF00"},
            {"name": "nobody"},
        ],
        "rotations": [
            {"name": "ops", "people": ["ann", "ben"], "starts": "2026-03-02T08:00:00Z", "every": "1d"},
            {"name": "leads", "people": ["chief"], "starts": "2026-03-02T08:00:00Z"},
        ],
        "receivers": [
            {"name": name, "kind": "webhook", "url": "http://x.example/"} for name in ("pager", "chat", "boss", "mail")
        ],
        "routes": [
            {"name": "by-name", "receivers": ["mail"]},
            {
                "name": "checkout",
                "where": {"labels.team": {"equals": "checkout"}, "severity": {"equals": ["error", "critical"]}},
                "receivers": ["pager", "chat"],
                "fallback": ["mail"],
                "on_call": "ops",
                "may_acknowledge": ["ops", "nobody"],
                "escalate": [
                    {"after": "5m", "to": ["boss", "chat"], "on_call": "leads"},
                    {"after": "15m"},
                ],
            },
            {"name": "order", "where": {"service.name": {"equals": "order"}}, "receivers": ["chat"]},
        ],
    }
)
WITH_DEFAULT = RuleSet.model_validate(
    RULES.model_dump(by_alias=True) | {"routes": [{"name": "default", "receivers": ["mail"], "fallback": ["chat"]}]}
)


def incident(**given: object) -> Incident:
    return plain_incident(**{"sample": SAMPLE, "route": "", **given})


CHECKOUT = {"labels": {"team": "checkout"}}


def told(action: Action, about: Incident, rules: RuleSet = RULES, now_ms: int = START) -> Notification:
    return Routing(rules).addressed(Notification(action=action, incident=about, created_ms=0), now_ms)


@pytest.mark.parametrize(
    ("about", "receivers"),
    [
        (incident(route="by-name"), ("mail",)),
        (incident(route="canary"), ("canary",)),
        (incident(**CHECKOUT), ("pager", "chat")),
        (incident(labels={"team": "checkout"}, severity=Severity.INFO), ("chat",)),
        (incident(group={"service.name": "order"}), ("chat",)),
        (incident(route="was-taken-out", group={"service.name": "pay"}), ()),
        (incident(route="was-taken-out", **CHECKOUT), ("pager", "chat")),
        (incident(route="default", **CHECKOUT), ()),
        (incident(group={"service.name": "pay"}), ()),
    ],
)
def test_the_route_is_the_one_named_else_the_first_that_fits_else_the_default(
    about: Incident, receivers: tuple[str, ...]
) -> None:
    assert told(Action.OPEN, about).receivers == receivers


def test_a_default_of_the_files_is_the_default() -> None:
    found = told(Action.OPEN, incident(group={"service.name": "pay"}), WITH_DEFAULT)
    assert (found.receivers, found.fallback) == (("mail",), ("chat",))


def test_an_escalation_goes_to_its_step_and_what_follows_to_all() -> None:
    def at(action: Action, escalated: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        found = told(action, incident(escalated=escalated, **CHECKOUT))
        assert found.fallback == ("mail",)
        return found.receivers, found.mentions

    assert at(Action.OPEN, 0) == (("pager", "chat"), ("ann",))
    assert at(Action.ESCALATE, 1) == (("boss", "chat"), ("chief",))
    assert at(Action.REPEAT, 1) == (("pager", "chat", "boss"), ("ann", "chief"))
    # A step that names no receivers and no rotation is the route's own people once more.
    assert at(Action.ESCALATE, 2) == (("pager", "chat"), ("ann",))
    assert at(Action.UPDATE, 2) == (("pager", "chat", "boss"), ("ann",))
    assert at(Action.RESOLVE, 2) == (("pager", "chat", "boss"), ())
    # The step was taken by rules that had more of them.
    assert at(Action.ESCALATE, 9) == (("pager", "chat"), ("ann",))


def test_who_is_called_by_name_is_who_is_on_call_then() -> None:
    assert told(Action.OPEN, incident(**CHECKOUT), now_ms=START + DAY).mentions == ("ben",)
    assert told(Action.OPEN, incident(**CHECKOUT), now_ms=START - 1).mentions == ()


def test_steps_are_due_after_their_times() -> None:
    assert list(Routing(RULES).steps_of(incident(**CHECKOUT))) == [300_000, 900_000]
    assert list(Routing(RULES).steps_of(incident())) == []


@pytest.mark.parametrize(
    ("user", "escalated", "at_ms", "may"),
    [
        ("U0ANN0000", 0, START, True),
        ("U0BEN0000", 0, START, False),
        ("U0BEN0000", 0, START + DAY, True),
        ("U0CHIEF00", 0, START, False),
        # Whoever was called by name may answer.
        ("U0CHIEF00", 1, START, True),
        ("", 1, START, False),
        ("U0OTHER00", 0, START, False),
    ],
)
def test_who_may_acknowledge(user: str, escalated: int, at_ms: int, may: bool) -> None:
    assert may_acknowledge(RULES, incident(escalated=escalated, **CHECKOUT), user, at_ms) is may


def test_where_the_route_names_nobody_everybody_may() -> None:
    assert may_acknowledge(RULES, incident(route="by-name"), "U0OTHER00", START)
    assert may_acknowledge(RULES, incident(group={"service.name": "pay"}), "U0OTHER00", START)


def of(candidate: Candidate) -> Incident:
    (changed,) = on_candidate(None, candidate, 0, Policy()).changed
    return changed


@pytest.mark.parametrize("receiver", ["pager", "chat", "boss", "mail", "slack", "console"])
@pytest.mark.parametrize("rules", [RULES, WITH_DEFAULT, RuleSet()])
def test_that_a_receiver_fails_is_never_told_to_itself(receiver: str, rules: RuleSet) -> None:
    catch_all = {"name": "all", "where": {"rule": {"prefix": "vigil-"}}, "receivers": ["mail"], "fallback": ["mail"]}
    routes = [catch_all, *rules.model_dump(by_alias=True)["routes"]]
    for one in (rules, RuleSet.model_validate(rules.model_dump(by_alias=True) | {"routes": routes})):
        found = told(Action.OPEN, of(failing(receiver, "it is away", 0)), one)
        assert receiver not in (*found.receivers, *found.fallback)
        assert found.receivers or receiver != "slack", "without Slack the default is the console"


def test_that_the_only_receiver_of_a_route_fails_goes_to_its_fallback_or_the_default() -> None:
    about_mail = of(failing("mail", "it is away", 0))
    found = told(Action.OPEN, about_mail, WITH_DEFAULT)
    assert (found.receivers, found.fallback) == (("chat",), ())
    assert told(Action.OPEN, about_mail).receivers == ()
    assert told(Action.OPEN, of(failing("slack", "it is away", 0))).receivers == ("console",)
