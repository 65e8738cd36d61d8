"""Conditions of silences, as people write them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.alerting.messages import Incident, Matcher
from streaming.alerting.muting.matchers import MATCHERS_LIMIT, Conditions, parse_matcher, written
from tests.support.incidents import plain_incident, plain_sample


def incident(**group: str) -> Incident:
    return plain_incident(
        incident_id="I",
        incident_key="errors|service.name=payment",
        rule_id="errors",
        rule_kind="match",
        group=group,
        sample=plain_sample(service="payment", node_id="n1"),
        labels={"team": "money"},
        owner="ann",
    )


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("rule=errors", True),
        ("kind=match", True),
        ("incident=errors|service.name=payment", True),
        ("severity=~warning|error", True),
        ("severity=~^warn", False),
        ("severity!=error", False),
        ("owner=ann", True),
        ("labels.team=money", True),
        ("labels.other=", True),
        ("error.code=", True),
        ("error.code!=", False),
        ("service.name=payment", True),
        ("service.node.name=n1", True),
        ("service.name=~pay", True),
        ("service.name!~pay", False),
        (" service.name =  payment ", True),
        ("service.name=a=b", False),
    ],
)
def test_what_a_condition_means(text: str, fits: bool) -> None:
    matchers = [parse_matcher(text), parse_matcher("rule=errors")]
    assert Conditions(matchers).fits(incident()) is fits


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("payment", "write NAME=VALUE"),
        ("=payment", "write NAME=VALUE"),
        ("", "write NAME=VALUE"),
        ("service.name==payment", "write = once"),
        ("servce.name=payment", "did you mean service.name?"),
        ("zzz=payment", "possible: rule, kind"),
        ("service.name=~", "a regular expression is empty"),
        ("service.name!~  ", "a regular expression is empty"),
        ("service.name=~(", "no regular expression of RE2"),
        (r"service.name=~(a)\1", "no regular expression of RE2"),
        ("service.name=~" + "a" * 501, "at most 500 characters"),
        ("labels." + "a" * 200 + "=b", "at most 200 characters"),
        ("rule=" + "a" * 4001, "at most 200 characters, and a value 4000"),
    ],
)
def test_what_is_refused_says_what_to_write(text: str, said: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_matcher(text)
    assert said in str(refused.value)


@pytest.mark.parametrize("texts", [[], ["service.name="], ["severity!=info"], ["rule=~.*", "owner!~x"]])
def test_what_would_silence_everything_is_refused(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"1 to 20 conditions|add a condition such as severity=~\."):
        Conditions([parse_matcher(text) for text in texts])
    assert Conditions([parse_matcher(text) for text in [*texts, "severity=~."]]) is not None


def test_there_are_not_too_many() -> None:
    with pytest.raises(ValueError, match="1 to 20 conditions, not 21"):
        Conditions([Matcher(name="rule", op="=", value="a")] * (MATCHERS_LIMIT + 1))


def test_an_unknown_comparison_is_refused() -> None:
    with pytest.raises(ValueError, match="'<' is no comparison"):
        Conditions([Matcher(name="rule", op="<", value="a")])


names = st.sampled_from(["rule", "severity", "service.name", "labels.team"])
values = st.text(st.characters(codec="utf-8", exclude_characters="=~!"), max_size=20).map(str.strip)


@given(st.builds(Matcher, name=names, op=st.sampled_from(["=", "!="]), value=values))
def test_what_was_written_is_read(matcher: Matcher) -> None:
    assert parse_matcher(written([matcher])) == matcher


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        matcher = parse_matcher(text)
    except ValueError:
        return
    assert msgspec.json.decode(msgspec.json.encode(matcher), type=Matcher) == matcher
