"""Links to the logs of an incident: they filter, and no value breaks out of its place."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.receivers.links import Links
from streaming.alerting.receivers.slack.mrkdwn import link
from tests.support.told import NOON_MS, incident

LINKS = Links("https://vigil.example/ui", "https://kibana.example/base")


def test_no_base_address_no_link() -> None:
    assert [Links().logs(incident()), Links().discover(incident()), Links().incident("A"), Links().incidents()] == [
        ""
    ] * 4


def test_by_trace_where_there_is_one_else_by_service_and_node() -> None:
    query = parse_qs(urlsplit(LINKS.logs(incident())).query)
    assert query == {
        "from": ["2023-11-14T22:08:20.000Z"],
        "to": ["2023-11-14T22:18:20.000Z"],
        "trace": ["t" * 32],
    }
    untraced = incident(sample=msgspec.structs.replace(incident().sample, trace_id=None))
    query = parse_qs(urlsplit(LINKS.logs(untraced)).query)
    assert (query["service"], query["node"]) == (["order"], ["n1"])
    address = unquote(LINKS.discover(untraced))
    assert address.startswith("https://kibana.example/base/app/discover#/?_g=(time:(from:'2023-11-14T22:08:20.000Z'")
    assert """query:'service.name : "order" and service.node.name : "n1"')""" in address


def test_kibana_is_told_which_data_view() -> None:
    links = Links("", "https://kibana.example", "vigil-it's-logs")
    address = unquote(links.discover(incident()))
    assert "&_a=(dataSource:(dataViewId:'vigil-it!'s-logs',type:dataView),query:(language:kuery," in address


def test_a_long_incident_is_shown_by_its_last_day() -> None:
    query = parse_qs(urlsplit(LINKS.logs(incident(first_ms=0))).query)
    assert query["from"] == ["2023-11-13T22:08:20.000Z"]


@given(st.text(max_size=300), st.integers(-(10**18), 10**18))
def test_hostile_values_stay_values(text: str, at_ms: int) -> None:
    sample = msgspec.structs.replace(incident().sample, trace_id=text, service=text)
    hostile = incident(sample=sample, first_ms=at_ms, last_ms=at_ms)
    for address in (LINKS.logs(hostile), LINKS.discover(hostile), LINKS.incident(text)):
        address.encode("ascii")
        assert len(address) < 6000
        assert link(address[:1000], "x") != "", "nothing in it ends the link"
    query = parse_qs(urlsplit(LINKS.logs(hostile)).query, keep_blank_values=True, errors="replace")
    assert set(query) <= {"from", "to", "trace", "service", "node"}


def test_quotes_and_marks_of_kibanas_notations_are_escaped() -> None:
    sample = msgspec.structs.replace(incident().sample, trace_id="a\"b\\c'd!e)&_g=")
    address = LINKS.discover(incident(sample=sample))
    assert unquote(address).endswith("""query:'trace.id : "a\\"b\\\\c!'d!!e)&_g="'))""")
    assert address.count("&") == 1
    assert NOON_MS > 0


def test_all_pages_of_an_incident() -> None:
    assert Links().pages(incident()) == []
    found = Links("https://vigil.example", "https://kibana.example").pages(incident())
    assert [text for text, _ in found] == ["Incident", "Logs", "Kibana"]
    assert all(address.startswith(("https://vigil.example/", "https://kibana.example/")) for _, address in found)
