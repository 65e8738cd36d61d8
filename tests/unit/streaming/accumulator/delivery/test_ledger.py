"""Pages of the ledger: what is written is read back, gaps and all, and nothing that is no page is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.accumulator.delivery import ledger
from streaming.accumulator.delivery.ledger import DAMAGED, DROPPED, PLACES_LIMIT, Draft, Entry, Fates, ranges_of

COUNTS = st.integers(0, 30)


@given(
    st.integers(1, 10**9),
    st.lists(st.tuples(st.sampled_from(["logs", "heartbeats", "", DAMAGED, DROPPED]), COUNTS), max_size=40),
)
def test_a_page_is_read_as_it_was_written(first: int, steps: list[tuple[str, int]]) -> None:
    draft, wanted = Draft(first), []
    for kind, number in steps:
        if kind in (DAMAGED, DROPPED):
            draft.skip(kind, draft.last + 1 + number, None)
            continue
        fates: dict[str, str | int] = {} if kind else {"logs": "0", "heartbeats": 3}
        wanted.append(Entry(draft.last + 1, number, kind, dict(fates)))
        draft.add(wanted[-1], 5)
    raw = ledger.encode(draft.page("accumulator1", "0badcafe", draft.last + 1, 7))
    page = ledger.decode(raw)
    assert list(ledger.entries(page)) == wanted
    assert (page.first, page.last, page.key) == (first, draft.last, "accumulator1.0badcafe")
    assert sum(s.last - s.first + 1 for spans in page.gaps.values() for s in spans) == sum(
        n + 1 for k, n in steps if k in (DAMAGED, DROPPED)
    )


def test_a_second_of_many_small_chunks_is_a_small_page() -> None:
    draft = Draft(1_000_000)
    for n in range(1_000):
        draft.add(Entry(1_000_000 + n, 20 if n % 3 else 17, "logs", {}), 1)
    assert len(ledger.encode(draft.page("accumulator1", "0badcafe", 1_001_000, 2))) < 5_000


def test_a_chunk_that_does_not_follow_is_no_entry() -> None:
    with pytest.raises(ValueError, match="does not follow"):
        Draft(5).add(Entry(7, 1, "logs", {}), 1)


@pytest.mark.parametrize("broken", [b"", b"{}", b'{"accumulator":"a"}', b"\xff", b"[]"])
def test_what_is_no_page_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError):
        ledger.decode(broken)


def test_a_page_that_does_not_hold_what_it_says_is_refused() -> None:
    draft = Draft(1)
    draft.add(Entry(1, 3, "logs", {}), 1)
    page = draft.page("a", "i", 2, 1)
    page.last = 2
    with pytest.raises(ValueError, match="does not hold sequences 1 to 2"):
        ledger.decode(ledger.encode(page))


@given(
    st.lists(st.sampled_from(["logs", "heartbeats"]), min_size=1, max_size=60),
    st.data(),
)
def test_places_are_exact_whatever_moves(turns: list[str], data: st.DataObject) -> None:
    fates = Fates()
    truth: dict[str, set[int]] = {"logs": set(), "heartbeats": set(), "dead-letters": set(), "<secondary>": set()}
    for position, topic in enumerate(turns):
        fates.turn(position, (topic,))
        truth[topic].add(position)
    for position in data.draw(st.sets(st.sampled_from(range(len(turns))))):
        fates.instead(position, turns[position], "dead-letters")
        truth[turns[position]].remove(position)
        target = data.draw(st.sampled_from(["dead-letters", "<secondary>"]))
        if target != "dead-letters":
            fates.instead(position, "dead-letters", target)
        truth[target].add(position)
    fates.events = len(turns)
    entry = fates.entry(1)
    found = entry.fates or {entry.topic: f"0-{entry.events - 1}"}
    said = {
        place: {p for first, last in ranges_of(str(places)) for p in range(first, last + 1)}
        for place, places in found.items()
    }
    assert said == {place: positions for place, positions in truth.items() if positions}


def test_places_past_the_limit_are_counted_alone() -> None:
    fates = Fates()
    number = PLACES_LIMIT // 2
    for position in range(number):
        fates.turn(position, ("logs",) if position % 2 else ("heartbeats",))
    fates.events = number
    assert fates.entry(1).fates == {"logs": number // 2, "heartbeats": number // 2}
