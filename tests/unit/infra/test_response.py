"""What a person chose about an incident is done as that person, and a restart is of the right service."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from infra.response import Choice, carry_out, derived, service_of
from streaming.alerting.messages import AuditEntry, Command, Order
from streaming.alerting.orders import NothingDone, NotYetObeyed
from streaming.errors import ConfigError
from tests.support.incidents import an_incident, plain_sample

SERVICES = ("kafka", "payment", "order")


def done(choice: Choice, orders: Mock, manager: Mock) -> str:
    return carry_out(
        choice, an_incident(), author="ann", work="run 1", orders=orders, manager=manager, service="payment"
    )


def test_each_choice_is_an_order_of_who_chose() -> None:
    orders, manager = Mock(), Mock()
    orders.silence_incident.return_value.silence_id = "S1"
    assert "acknowledged by ann" in done(Choice.ACKNOWLEDGE, orders, manager)
    orders.acknowledge.assert_called_once_with("ABCDEFGHIJ", author="ann", reason="run 1")
    assert "S1" in done(Choice.SILENCE, orders, manager)
    assert orders.silence_incident.call_args.kwargs["for_s"] == 3600
    assert done(Choice.NOTHING, orders, manager) == "nothing was to be done"
    manager.restart.assert_not_called()
    assert done(Choice.RESTART, orders, manager) == "payment was restarted"
    manager.restart.assert_called_once_with("payment")
    assert "payment was restarted" in orders.annotate.call_args.args[1]


def test_what_somebody_else_did_already_is_no_failure() -> None:
    orders = Mock()
    entry = AuditEntry(at_ms=0, author="a", order=Order.ACKNOWLEDGE, target="A", reason="", outcome="it is resolved")
    orders.acknowledge.side_effect = NothingDone(entry)
    assert done(Choice.ACKNOWLEDGE, orders, Mock()) == "nothing was done: it is resolved"


def test_a_restart_of_the_manager_itself_does_not_wait_for_it() -> None:
    orders = Mock()
    orders.annotate.side_effect = NotYetObeyed(Command(order=Order.ANNOTATE, author="a", at_ms=0), 5)
    assert done(Choice.RESTART, orders, Mock()) == "payment was restarted"


def test_a_restart_is_of_what_was_asked_for_or_what_the_incident_is_about() -> None:
    assert service_of(an_incident(), SERVICES) == "payment"
    assert service_of(an_incident(), SERVICES, "kafka") == "kafka"
    by_group = an_incident(sample=plain_sample("x", "y"), group={"service.name": "order"})
    assert derived(by_group, SERVICES) == "order"
    with pytest.raises(ConfigError, match=r"no service 'bank'.*There are: kafka, payment, order"):
        service_of(an_incident(), SERVICES, "bank")
    with pytest.raises(ConfigError, match="names no service"):
        service_of(an_incident(sample=plain_sample("x", "y"), group={}), SERVICES)
