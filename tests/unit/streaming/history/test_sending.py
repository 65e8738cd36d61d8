"""What is sent of a batch, and what follows from Elasticsearch's answers."""

from __future__ import annotations

from streaming.elastic.bulk import Outcome, Verdict, Whole
from streaming.history.document import Documents
from streaming.history.sending import Item, items_of, settle


def documents(offset: int, at_ms: int, *, event: str | None = "e", last: str | None = "l", of: str = "A") -> Documents:
    return Documents(event, f"id{offset}", last, of, b"{}", at_ms, ("t", 0), offset)


def items(*versions: int | None) -> list[Item]:
    return [Item(("t", 0), f"i{n}", f"id{n}", b"{}", n, version) for n, version in enumerate(versions)]


def test_each_event_and_the_last_state_of_each_subject() -> None:
    found = items_of([documents(1, 900), documents(2, 100), documents(3, 50, of="B")])
    assert [item.document_id for item in found] == ["id1", "id2", "id3", "A", "B"]
    assert [item.version for item in found] == [None, None, None, 900, 50], "above that of each event before it"
    assert [item.offset for item in found[3:]] == [2, 3]


def test_what_is_past_its_retention_is_not_sent() -> None:
    found = items_of([documents(1, 1, event=None), documents(2, 2, last=None), documents(3, 3, event=None, last=None)])
    assert [item.document_id for item in found] == ["id2", "A"]


def test_lines_are_created_once_or_replace_what_is_older() -> None:
    event, state = items(None, 7)
    assert event.line() == b'{"create":{"_index":"i0","_id":"id0"}}\n{}\n'
    assert state.line() == (b'{"index":{"_index":"i1","_id":"id1","version":7,"version_type":"external"}}\n{}\n')


def test_answers() -> None:
    given = items(None, None, 5, None, None, None, None)
    verdicts = [
        Verdict.DONE,
        Verdict.DUPLICATE,
        Verdict.DUPLICATE,
        Verdict.RETRY,
        Verdict.NO_INDEX,
        Verdict.BLOCKED,
        Verdict.DEAD_LETTER,
    ]
    answered = settle(given, [Outcome(verdict) for verdict in verdicts])
    assert answered.again == given[3:6]
    assert answered.conflicts == [given[2]]
    assert answered.homeless == {"i4"}


def test_answers_to_the_whole() -> None:
    two, one = items(None, None), items(None)
    assert settle(two, None).again == []
    assert settle(two, Whole("too large", split=True)).again == two
    assert settle(one, Whole("too large", split=True)).again == [], "refused alone: given up"
    assert settle(one, Whole("busy", split=False)).again == one
