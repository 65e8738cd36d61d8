"""Gathering goes on whatever is away."""

from __future__ import annotations

import pytest

from streaming.alerting.context import gathering
from streaming.alerting.context.gathering import gather
from streaming.alerting.context.logs import Logs
from streaming.alerting.context.model import Deed, Found
from streaming.errors import Unavailable
from streaming.settings import Settings
from tests.support.incidents import AT_MS, an_incident, plain_sample


def away(*_: object) -> list[object]:
    raise Unavailable("Kafka does not answer")


def test_each_source_may_be_away_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Logs = Logs(Found(away="Kafka does not answer"), Found(away="Kafka does not answer"))
    monkeypatch.setattr(gathering, "logs_of", lambda *_: nothing)
    monkeypatch.setattr(gathering, "read_nodes", away)
    monkeypatch.setattr(gathering, "read_incidents", away)
    found = gather(Settings.model_construct(), an_incident(), deeds_away="no supervisor")
    for source in (found.logs, found.trace, found.nodes, found.related):
        assert (source.items, source.away) == ((), "Kafka does not answer")
    assert found.deeds.away == "no supervisor"
    other = an_incident(incident_id="KLMNOPQRST", sample=plain_sample("payment", "p2"))
    monkeypatch.setattr(gathering, "read_incidents", lambda *_: [other])
    found = gather(Settings.model_construct(), an_incident(), [Deed(AT_MS, "started: payment")])
    assert [one.incident_id for one in found.related.items] == ["KLMNOPQRST"]
    assert found.nodes.away == "Kafka does not answer"
    assert [deed.what for deed in found.deeds.items] == ["started: payment"]
