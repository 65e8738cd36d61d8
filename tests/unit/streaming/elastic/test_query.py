"""The query language: what each form means, and that no text breaks it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.elastic.query import Op, Query, QueryError, Term, one_of, parse_query, parse_time, quote, to_elastic

NOW = 1_795_500_000_000


def terms(text: str) -> tuple[Term, ...]:
    return parse_query(text, NOW).terms


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("level:error", Term(Op.ONE_OF, "log.level", ("ERROR",))),
        ("level>=error", Term(Op.ONE_OF, "log.level", ("ERROR", "FATAL"))),
        ("level:>=error", Term(Op.ONE_OF, "log.level", ("ERROR", "FATAL"))),
        ("service:payment", Term(Op.ONE_OF, "service.name", ("payment",))),
        ("service:a,b", Term(Op.ONE_OF, "service.name", ("a", "b"))),
        ('service:"a, b"', Term(Op.ONE_OF, "service.name", ("a, b",))),
        ("-node:n1", Term(Op.ONE_OF, "service.node.name", ("n1",), negated=True)),
        ("trace:ab*", Term(Op.BEGINS, "trace.id", ("ab",))),
        ("trace:*", Term(Op.EXISTS, "trace.id", ())),
        ("status>=500", Term(Op.GTE, "http.response.status_code", (500,))),
        ("duration>1.5s", Term(Op.GT, "event.duration", (1_500_000_000,))),
        ("labels.user:7", Term(Op.ONE_OF, "labels.user", ("7",))),
        ("http.request.method:GET", Term(Op.ONE_OF, "http.request.method", ("GET",))),
        ("refused", Term(Op.WORDS, None, ("refused",))),
        ("-refused", Term(Op.WORDS, None, ("refused",), negated=True)),
        ('"connection refused"', Term(Op.PHRASE, None, ("connection refused",))),
        (r'"a \"b\" \\ c"', Term(Op.PHRASE, None, (r'a "b" \ c',))),
        ("time*", Term(Op.BEGINS, None, ("time",))),
        ("12:30:45", Term(Op.WORDS, None, ("12:30:45",))),
        ("error:refused", Term(Op.WORDS, "error.message", ("refused",))),
        ("received>=1h", Term(Op.GTE, "event.created", (NOW - 3_600_000,))),
    ],
)
def test_one_term(text: str, term: Term) -> None:
    assert terms(text) == (term,)


def test_terms_stand_side_by_side() -> None:
    found = parse_query('level:ERROR  service:payment timed out "a b" since:1h until:now', NOW)
    assert [term.op for term in found.terms] == [Op.ONE_OF, Op.ONE_OF, Op.WORDS, Op.WORDS, Op.PHRASE]
    assert (found.since_ms, found.until_ms) == (NOW - 3_600_000, NOW)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("servce:x", r"character 1: no field servce\. Did you mean service\?"),
        ("a http://x", r"character 3: no field http\..*Quote it"),
        ("level:LOUD", r"no level 'LOUD'. Levels are TRACE, DEBUG"),
        ('x "abc', r"character 3: a quote that is not closed"),
        ("status:abc", r"'abc' is not a whole number"),
        ("service>3", r"service is not a number"),
        ("since:yesterday", r"'yesterday' is not a time"),
        ("a OR b", r"character 3: OR is not a word of this language"),
        ("service:", r"service: has no value"),
        ("status:5*", r"status is no text"),
    ],
)
def test_errors_name_the_place_and_the_remedy(text: str, says: str) -> None:
    with pytest.raises(QueryError, match=says):
        parse_query(text, NOW)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("now", NOW),
        ("30s", NOW - 30_000),
        ("1.5h", NOW - 5_400_000),
        ("2w", NOW - 1_209_600_000),
        ("2026-11-24", 1_795_478_400_000),
        ("2026-11-24T01:00", 1_795_482_000_000),
        ("2026-11-24T01:00:00.5+01:00", 1_795_478_400_500),
    ],
)
def test_times(text: str, ms: int) -> None:
    assert parse_time(text, NOW) == ms


@given(st.text() | st.text(st.sampled_from('level:ERROR>=<" -*,servicenode.\\0159d')))
def test_any_text_is_a_query_or_a_clear_error(text: str) -> None:
    try:
        found = parse_query(text, NOW)
    except QueryError:
        return
    json.dumps(to_elastic(found))


@given(st.text())
def test_quoted_text_is_taken_literally(text: str) -> None:
    assert terms(quote(text)) == (Term(Op.PHRASE, None, (text,)),)
    assert terms(f"service:{quote(text)}") == (Term(Op.ONE_OF, "service.name", (text,)),)


def test_nothing_asked_is_everything() -> None:
    assert to_elastic(parse_query("  ", NOW)) == {"match_all": {}}


def test_what_elasticsearch_is_asked() -> None:
    query = Query((one_of("level", ["error"]), Term(Op.WORDS, None, ("x",), negated=True)), since_ms=5)
    assert to_elastic(query, time_field="event.created") == {
        "bool": {
            "filter": [
                {"terms": {"log.level": ["ERROR"]}},
                {"range": {"event.created": {"gte": 5, "format": "epoch_millis"}}},
            ],
            "must_not": [
                {
                    "multi_match": {
                        "query": "x",
                        "fields": ["message", "error.message", "error.stack_trace"],
                        "operator": "and",
                    }
                }
            ],
        }
    }
