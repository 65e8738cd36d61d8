"""Kibana's query language: what is read, of which fields, and what Elasticsearch is asked."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.kibana.indices import indices
from infra.kibana.kql import Compared, Everything, Exists, Is, KqlError, Not, Together, fields_in, parse, to_elastic

FIELDS = indices("vigil").logs.fields


def test_what_a_query_says() -> None:
    assert parse("  ") == Everything()
    assert parse("trace.id : *") == Exists("trace.id")
    assert parse('service.name:"a b"') == Is("service.name", "a b", quoted=True)
    assert parse("event.duration >= 5") == Compared("event.duration", "gte", "5")
    assert parse("timeout") == Is(None, "timeout", quoted=False)
    assert parse(r'message : "say \"no\" \\ yes"') == Is("message", r'say "no" \ yes', quoted=True)


def test_and_binds_more_closely_than_or_and_not_most_closely() -> None:
    a, b, c = (Is(name, "1", quoted=False) for name in "abc")
    assert parse("a:1 or b:1 and not c:1") == Together(False, (a, Together(True, (b, Not(c)))))
    assert parse("(a:1 OR b:1) AND c:1") == Together(True, (Together(False, (a, b)), c))


def test_one_field_with_several_values() -> None:
    found = parse('log.level : ("ERROR" or "FATAL") and x : (a and not b)')
    assert list(fields_in(found)) == ["log.level", "log.level", "x", "x"]
    assert found == Together(
        True,
        (
            Together(False, (Is("log.level", "ERROR", quoted=True), Is("log.level", "FATAL", quoted=True))),
            Together(True, (Is("x", "a", quoted=False), Not(Is("x", "b", quoted=False)))),
        ),
    )


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ('message : "open', "character 10"),
        ("message :", "a value is missing"),
        ("(a : 1", "a bracket that is not closed"),
        ("a : 1 b : 2", "'b' is not expected"),
        ("items : { a : 1 }", "nested fields"),
        ("and a : 1", "a field or a value is missing"),
        ("a : 1 or", "a field or a value is missing"),
        (">= 3", "a field or a value is missing"),
    ],
)
def test_what_cannot_be_read_is_said(query: str, reason: str) -> None:
    with pytest.raises(KqlError, match=r"^KQL ") as raised:
        parse(query)
    assert reason in str(raised.value)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(KqlError):
        list(fields_in(parse(text)))


@given(st.text(max_size=60))
def test_a_quoted_value_is_taken_as_it_is(text: str) -> None:
    quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assert parse(f"message : {quoted}") == Is("message", text, quoted=True)


def test_what_elasticsearch_is_asked() -> None:
    def asked(query: str) -> object:
        return to_elastic(parse(query), FIELDS)

    assert asked("") == {"match_all": {}}
    assert asked("trace.id : *") == {"exists": {"field": "trace.id"}}
    assert asked('log.level : "ERROR"') == {"match_phrase": {"log.level": "ERROR"}}
    assert asked("log.level : ERROR") == {"match": {"log.level": "ERROR"}}
    assert asked("url.path : /api*") == {"query_string": {"fields": ["url.path"], "query": "/api*"}}
    assert asked('url.path : "/api*"') == {"match_phrase": {"url.path": "/api*"}}
    assert asked('@timestamp : "2026-01-01"') == {"range": {"@timestamp": {"gte": "2026-01-01", "lte": "2026-01-01"}}}
    assert asked("event.duration > 5") == {"range": {"event.duration": {"gt": "5"}}}
    assert asked("not a : 1") == {"bool": {"must_not": {"match": {"a": "1"}}}}
    both = [{"match": {"a": "1"}}, {"match": {"b": "2"}}]
    assert asked("a : 1 and b : 2") == {"bool": {"filter": both}}
    assert asked("a : 1 or b : 2") == {"bool": {"should": both, "minimum_should_match": 1}}
    assert asked("timeout") == {"multi_match": {"type": "best_fields", "query": "timeout", "lenient": True}}
