"""One round of the matcher, without Kafka."""

from __future__ import annotations

import json

import pytest

from streaming.alerting.matcher import worker as matching
from streaming.alerting.matcher.marks import Marks
from streaming.alerting.matcher.tally import Tally
from streaming.alerting.matcher.worker import Matcher
from streaming.events.coordinates import HEADER, REPLAY_HEADER, Coordinates, Replay, encode, encode_replay
from streaming.kafka.records import Record, read_record
from tests.support.fake_message import fake_message


class Error:
    """An ERROR, as Kafka hands it out."""

    def error(self) -> None:
        return None

    def topic(self) -> str:
        return "logs"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 7

    def headers(self) -> None:
        return None

    def value(self) -> bytes:
        return json.dumps({"level": "ERROR", "message": "it broke"}).encode()

    def timestamp(self) -> tuple[int, int]:
        return (2, 1)


class Nothing:
    """Rules that did not change, an engine with a bug, and a consumer that gives up its partition when closed."""

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher

    def changed(self) -> bool:
        return False

    def match(self, _: object) -> None:
        raise ZeroDivisionError

    def transaction(self) -> None:
        pytest.fail("offsets of what was not evaluated were committed")

    def close(self) -> None:
        self._matcher._on_revoke(self, [])  # type: ignore[arg-type]


def test_a_log_that_could_not_be_evaluated_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "take", lambda *_: [Error()])
    matcher = Matcher.__new__(Matcher)
    nothing = Nothing(matcher)
    matcher._rules = matcher._engine = matcher._in = matcher._out = nothing  # type: ignore[assignment]
    matcher._marks, matcher._tally, matcher._offsets, matcher._owned = Marks(), Tally(), {}, {0}
    matcher._failed, matcher._committed_at = False, 0.0
    with pytest.raises(ZeroDivisionError):
        matcher.run_once()
    matcher.close()


def test_a_replayed_record_is_evaluated_once_though_its_coordinates_are_below_the_mark() -> None:
    matcher = Matcher.__new__(Matcher)
    matcher._marks = Marks()

    def record(sequence: int, *replay: Replay) -> Record:
        at = (HEADER, encode(Coordinates("a", "i", sequence, 0, 1, 0, "")))
        return read_record(fake_message(b"x", [at, *((REPLAY_HEADER, encode_replay(r)) for r in replay)]))

    told = [record(5), record(3), record(3, Replay("r", 1)), record(3, Replay("r", 1)), record(4, Replay("r", 2))]
    assert [matcher._is_new(r) for r in [*told, record(6), record(6)]] == [True, False, True, False, True, True, False]
