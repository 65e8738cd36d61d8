"""One round of the matcher, without Kafka."""

from __future__ import annotations

import json

import pytest

from streaming.alerting.matcher import worker as matching
from streaming.alerting.matcher.marks import Marks
from streaming.alerting.matcher.tally import Tally
from streaming.alerting.matcher.worker import Matcher


class Record:
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
    monkeypatch.setattr(matching, "take", lambda *_: [Record()])
    matcher = Matcher.__new__(Matcher)
    nothing = Nothing(matcher)
    matcher._rules = matcher._engine = matcher._in = matcher._out = nothing  # type: ignore[assignment]
    matcher._marks, matcher._tally, matcher._offsets, matcher._owned = Marks(), Tally(), {}, {0}
    matcher._failed, matcher._committed_at = False, 0.0
    with pytest.raises(ZeroDivisionError):
        matcher.run_once()
    matcher.close()
