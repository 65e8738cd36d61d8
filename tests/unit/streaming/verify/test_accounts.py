"""Accounts against records: whatever is lost, doubled or out of order, exactly what is missing is named."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.accumulator.delivery.ledger import DAMAGED, DROPPED, SECONDARY, Draft, Entry, Page, ranges_of
from streaming.events.coordinates import Coordinates, encode
from streaming.verify.accounts import Account, Accounts, superseded
from streaming.verify.report import Missing

KEY = "accumulator1.0badcafe"
TOPICS = ("logs", "heartbeats")

Event = tuple[str, int, int]
"""Topic, sequence, position."""


def page(first: int, entries: list[Entry], **more: object) -> Page:
    draft = Draft(first)
    for entry in entries:
        draft.add(entry, 1)
    made = draft.page("accumulator1", "0badcafe", draft.last + 1, 1)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def header(sequence: int, position: int, incarnation: str = "0badcafe") -> bytes:
    return encode(Coordinates("accumulator1", incarnation, sequence, position, 1, 1, "a:b:c"))


def events_of(entry: Entry) -> set[Event]:
    """Where the ledger says that a record is."""
    if entry.topic:
        return {(entry.topic, entry.sequence, p) for p in range(entry.events)}
    return {
        (place, entry.sequence, p)
        for place, places in entry.fates.items()
        if not place.startswith("<")
        for first, last in ranges_of(str(places))
        for p in range(first, last + 1)
    }


def named(account: Account, missing: Missing) -> set[Event]:
    """Every event of a name in the report."""
    if missing.positions:
        places = [p for first, last in ranges_of(missing.positions) for p in range(first, last + 1)]
        return {(missing.place, missing.first, p) for p in places}
    found = set()
    for name in account.sources(missing):
        _, sequence, position = name.rsplit(":", 2)
        found.add((missing.place, int(sequence), int(position)))
    return found


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    made = []
    for sequence in range(1, draw(st.integers(1, 30)) + 1):
        events = draw(st.integers(0, 20))
        if events and draw(st.integers(0, 4)) == 0:
            split = draw(st.integers(0, events))
            fates: dict[str, str | int] = {}
            if split:
                fates["logs"] = f"0-{split - 1}"
                if draw(st.booleans()):
                    fates["heartbeats"] = "0"
            if split < events:
                fates[SECONDARY] = f"{split}-{events - 1}"
            made.append(Entry(sequence, events, "", fates))
        else:
            made.append(Entry(sequence, events, draw(st.sampled_from(TOPICS)), {}))
    return made


@settings(max_examples=100, deadline=None)
@given(entries(), st.data())
def test_exactly_what_is_missing_is_named(all_entries: list[Entry], data: st.DataObject) -> None:
    accounts = Accounts()
    account = accounts.of(KEY)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(all_entries)), max_size=4)) | {len(all_entries)})
    pages = [page(a + 1, all_entries[a:b]) for a, b in zip([0, *cuts], cuts, strict=False)]
    repeated = data.draw(st.lists(st.sampled_from(pages), max_size=2))
    order = data.draw(st.permutations(pages + repeated))
    for one in order:
        account.add(one, 5)
    assert list(account.silent()) == []
    expected = {event for entry in all_entries for event in events_of(entry)}
    lost = data.draw(st.sets(st.sampled_from(sorted(expected)), max_size=30)) if expected else set()
    records = [e for e in expected - lost for _ in range(data.draw(st.sampled_from([1, 1, 1, 2])))]
    random.Random(data.draw(st.integers())).shuffle(records)
    watchers = {topic: accounts.watcher(topic) for topic in TOPICS}
    for topic, sequence, position in records:
        watchers[topic](header(sequence, position))
    # Records of others, and of sequences that no page has told of, change nothing.
    watchers["logs"](header(1, 0, "ffffffff"))
    watchers["logs"](header(10_000, 0))
    assert {event for one in account.missing() for event in named(account, one)} == lost
    assert sum(one.events for one in account.missing()) == len(lost)
    assert account.in_kafka(account.missing()).total() == len(expected) - len(lost)
    assert account.events == sum(e.events for e in all_entries)


@given(st.sets(st.integers(1, 20)), st.data())
def test_a_ledger_with_gaps_is_told_which(told: set[int], data: st.DataObject) -> None:
    account = Accounts().of(KEY)
    for sequence in data.draw(st.permutations(sorted(told))):
        account.add(page(sequence, [Entry(sequence, 2, "logs", {})]), 5)
    silent = {n for first, last in account.silent() for n in range(first, last + 1)}
    assert silent == (set(range(min(told), max(told))) - told if told else set())


def test_chunks_that_are_missing_whole_are_one_name() -> None:
    account = Accounts().of(KEY)
    account.add(page(1, [Entry(n, 1000, "logs", {}) for n in range(1, 101)]), 5)
    (one,) = account.missing()
    assert (str(one), one.events) == (f"{KEY}:1-100", 100_000)


def test_a_page_whose_records_may_be_gone_is_not_looked_for() -> None:
    account = Accounts().of(KEY)
    account.add(page(1, [Entry(1, 10, "logs", {})]), 5, checked=False)
    account.add(page(2, [Entry(2, 1, "logs", {})]), 6)
    assert [str(m) for m in account.missing()] == [f"{KEY}:2"]
    assert account.too_old == 1


def test_what_is_damaged_is_lost_and_what_was_dropped_on_purpose_is_not() -> None:
    draft = Draft(1)
    draft.skip(DAMAGED, 3, 40)
    draft.skip(DROPPED, 5, None)
    account = Accounts().of(KEY)
    account.add(draft.page("accumulator1", "0badcafe", 6, 1), 5)
    assert [(str(g), g.events, g.lost) for g in account.gaps] == [
        (f"{KEY}:1-3 (damaged)", 40, True),
        (f"{KEY}:4-5 (dropped)", None, False),
    ]


def test_a_spool_that_was_deleted_with_a_backlog_is_named() -> None:
    accounts = Accounts()
    accounts.of(KEY).add(page(1, [Entry(1, 1, "logs", {})], next=5), 10)
    assert list(superseded(accounts)) == [], "nobody has taken its place"
    accounts.of("accumulator1.ffffffff").add(page(1, [], start=True), 20)
    assert [str(g) for g in superseded(accounts)] == [f"{KEY}:2-4 (spooled, and its spool is gone)"]
    accounts.of(KEY).add(page(2, [], next=5), 30)
    assert list(superseded(accounts)) == [], "both live"


def test_millions_of_events_take_a_bit_each() -> None:
    accounts = Accounts()
    account = accounts.of(KEY)
    for first in range(1, 1001, 100):
        account.add(page(first, [Entry(n, 10_000, "logs", {}) for n in range(first, first + 100)]), 5)
    assert sum(len(s.bits) for s in account._segments) == 10_000_000 // 8
    see = accounts.watcher("logs")
    see(header(1000, 9_999))
    *_, last = missing = list(account.missing())
    assert account.in_kafka(missing)["logs"] == 1
    assert (str(last), last.events) == (f"{KEY}:1000:0-9998", 9_999)
