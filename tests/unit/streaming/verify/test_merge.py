"""Records and documents side by side."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from streaming.verify.documents import Origin, Place
from streaming.verify.merge import Join
from streaming.verify.partitions import LetterPlaces

PLACES = st.builds(Place, st.integers(0, 40), st.sampled_from(["a", "b", "c"]))


def in_pages(places: list[Place], size: int) -> Iterator[list[Place]]:
    for start in range(0, len(places), size):
        yield places[start : start + size]
    yield []


@given(
    st.sets(st.integers(0, 40)),
    st.lists(PLACES, unique=True),
    st.integers(1, 7),
    st.integers(1, 7),
    st.data(),
)
def test_a_record_has_a_document_under_its_own_offset_and_name_or_is_named(
    offsets: set[int], documents: list[Place], page: int, batch: int, data: st.DataObject
) -> None:
    """Some offsets have no record (marks of transactions), some two documents (a topic made anew)."""
    records = [Place(offset, data.draw(st.sampled_from(["a", "b", "c"]))) for offset in sorted(offsets)]
    join = Join(in_pages(sorted(documents), page))
    without: list[Place] = []
    for start in range(0, len(records), batch):
        part = records[start : start + batch]
        without += [part[n] for n in join.without(part)]
    assert without == [r for r in records if r not in set(documents)]


@given(st.lists(st.builds(Origin, st.sampled_from(["logs", "x"]), st.integers(0, 2), st.integers(0, 30))), st.data())
def test_places_of_dead_letters(origins: list[Origin], data: st.DataObject) -> None:
    places = LetterPlaces()
    for origin in origins:
        places.add(origin)
    for topic in ("logs", "x"):
        for offset in data.draw(st.lists(st.integers(0, 31), max_size=5)):
            assert (Origin(topic, 1, offset) in places) == (Origin(topic, 1, offset) in origins)
    places.add(Origin("logs", 1, 99))
    assert Origin("logs", 1, 99) in places
