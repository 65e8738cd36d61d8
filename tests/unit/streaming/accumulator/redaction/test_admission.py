"""Between sources and spool: what goes on, what is counted, and what is refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgpack
import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from streaming.accumulator.configuration.config import Place
from streaming.accumulator.configuration.plan import Redaction, RedactionKind, RedactionRule
from streaming.accumulator.configuration.ruby_regexp import compile_ruby
from streaming.accumulator.configuration.tag_pattern import tag_pattern
from streaming.accumulator.redaction.admission import TAGS_KEPT, Admission
from streaming.accumulator.spool.segment import Arrived
from streaming.errors import ConfigError

PLACE = Place(Path("x.conf"), 7)


def redaction(tags: str, *kinds: RedactionKind) -> Redaction:
    rules = tuple(RedactionRule(PLACE, f"{kind}-{tags}", kind, None, (), f"[{kind}]") for kind in kinds)
    return Redaction(PLACE, tag_pattern(tags), rules)


def chunk(record: object, tag: str = "app.web", *, zipped: bool = False) -> Arrived:
    body = msgpack.packb([1, record])
    return Arrived(tag, gzip.compress(body) if zipped else body, 1, zipped, b"c1", 5)


class Spool:
    """Takes what comes."""

    def __init__(self, *redactions: Redaction) -> None:
        self.chunks: list[Arrived] = []
        self.answers: list[bool] = []
        self.admission = Admission(redactions, lambda c, _: self.chunks.append(c), "accumulator9")

    def take(self, arrived: Arrived) -> Arrived | None:
        self.chunks.clear()
        self.admission.submit(arrived, self.answers.append)
        return self.chunks[0] if self.chunks else None


SECRET = {"m": "ann@example.com 4111111111111111"}


def counted(rule: str) -> float:
    labels = {"accumulator": "accumulator9", "rule": rule}
    return REGISTRY.get_sample_value("vigil_accumulator_redacted_total", labels) or 0.0


def test_rules_of_all_redactions_of_a_tag_apply_and_are_counted() -> None:
    spool = Spool(redaction("app.**", "email"), redaction("**", "card"), redaction("other", "email"))
    before = counted("email-app.**"), counted("card-**"), counted("email-other")
    stored = spool.take(chunk(SECRET))
    assert stored == chunk({"m": "[email] [card]"})
    assert (counted("email-app.**"), counted("card-**"), counted("email-other")) == (
        before[0] + 1,
        before[1] + 1,
        before[2],
    )
    assert spool.take(chunk(SECRET, "db")) == chunk({"m": "ann@example.com [card]"}, "db")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_chunk_in_which_nothing_is_found_goes_on_as_it_came(zipped: bool) -> None:
    clean = chunk({"m": "nothing @ all"}, zipped=zipped)
    stored = Spool(redaction("**", "email", "card")).take(clean)
    assert stored is not None
    assert stored.body is clean.body
    assert stored == clean


def test_a_compressed_chunk_is_stored_uncompressed_where_something_is_found() -> None:
    stored = Spool(redaction("**", "email", "card")).take(chunk(SECRET, zipped=True))
    assert stored == chunk({"m": "[email] [card]"})


@pytest.mark.parametrize(
    "broken",
    [
        chunk(SECRET)._replace(body=chunk(SECRET).body[:-1]),
        chunk(SECRET)._replace(body=chunk(SECRET).body + b"\xc1"),
        chunk(SECRET)._replace(body=b"no gzip", gzip=True),
    ],
)
def test_what_cannot_be_read_is_refused_and_never_stored(broken: Arrived) -> None:
    spool = Spool(redaction("**", "email"))
    with capture_logs() as logs:
        assert spool.take(broken) is None
    assert spool.answers == [False]
    assert "cannot be redacted" in logs[0]["event"]
    assert "ann@" not in str(logs)


def test_tags_without_end_are_not_remembered() -> None:
    spool = Spool(redaction("a.*", "email"))
    for n in range(3 * TAGS_KEPT):
        assert spool.take(chunk(SECRET, f"a.{n}")) == chunk({"m": "[email] 4111111111111111"}, f"a.{n}")
    assert len(spool.admission._by_tag) <= TAGS_KEPT


def test_a_pattern_that_cannot_be_used_is_named_at_the_start() -> None:
    wrong = RedactionRule(PLACE, "own", "pattern", compile_ruby(r"(?<=a)b"), (), "[own]")
    with pytest.raises(ConfigError, match=r"x\.conf:7"):
        Spool(Redaction(PLACE, tag_pattern("**"), (wrong,)))
