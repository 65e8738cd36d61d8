"""What follows from Elasticsearch's answers about dead letters."""

from __future__ import annotations

from streaming.dead_letters.sending import Item, settle
from streaming.elastic.bulk import Outcome, Verdict, Whole

REFUSED = Outcome(Verdict.DEAD_LETTER, "document_parsing_exception", "no")


def items(count: int) -> list[Item]:
    return [Item(("dead-letters", 0), n, "i", f"id{n}", b"{}", b"bare", b"{}") for n in range(count)]


def test_all_made_leaves_nothing() -> None:
    assert settle(items(3), None) == []


def test_what_is_there_is_done_and_what_could_not_be_taken_goes_again() -> None:
    done, repeated, busy, homeless = given = items(4)
    verdicts = [Verdict.DONE, Verdict.DUPLICATE, Verdict.RETRY, Verdict.NO_INDEX]
    assert settle(given, [Outcome(v) for v in verdicts]) == [busy, homeless]
    assert (done.bare, repeated.bare) == (b"bare", b"bare")


def test_a_refused_letter_goes_bare_and_then_no_more() -> None:
    (item,) = settle(items(1), [REFUSED])
    assert (item.encoded, item.bare) == (b"bare", None)
    assert settle([item], [REFUSED]) == []


def test_a_refused_request_goes_again_and_one_letter_refused_alone_goes_bare() -> None:
    assert len(settle(items(2), Whole("too large", split=True))) == 2
    (item,) = settle(items(1), Whole("too large", split=True))
    assert item.bare is None
    (busy,) = settle(items(1), Whole("busy", split=False))
    assert busy.bare is not None
