"""Which offsets are held against documents, what is said of the rest, and what a later run leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.accumulator.delivery.ledger import Page
from streaming.errors import ConfigError
from streaming.kafka.ranges import Bounds
from streaming.settings import Settings
from streaming.verify import state as states
from streaming.verify.report import Gap, Lost, Missing, PartitionReport, Report, Verdict
from streaming.verify.run import _Run
from streaming.verify.state import State


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, kafka_port=1, elasticsearch_port=1)


def run_of(settings: Settings, state: State | None = None) -> _Run:
    return _Run(settings, None, state, lambda _what, _done, _of: None)


@pytest.mark.parametrize(
    ("bound", "committed", "since", "wanted"),
    [
        # start, end; committed; since -> from, to, lag, deleted unread
        ((0, 100), 80, 0, (0, 80, 20, 0)),
        ((0, 100), -1, 0, (0, 0, 100, 0)),
        ((0, 100), 100, 90, (90, 100, 0, 0)),
        ((0, 100), 80, 90, (90, 90, 20, 0)),
        ((50, 100), 80, 0, (50, 80, 20, 0)),
        ((50, 100), 30, 0, (50, 50, 50, 20)),
    ],
)
def test_what_is_verified_of_a_partition(
    settings: Settings, bound: tuple[int, int], committed: int, since: int, wanted: tuple[int, int, int, int]
) -> None:
    run = run_of(settings)
    found = run._range("logs", 0, Bounds(*bound), committed, since)
    assert (found.verified_from, found.verified_to, found.lag, found.deleted_unread) == wanted
    assert run.report.unsure == []
    run.close()


def test_a_topic_made_anew_and_a_group_that_never_committed_cannot_be_told(settings: Settings) -> None:
    run = run_of(settings, State({"logs-0": 500}, {}))
    found = run._range("logs", 0, Bounds(0, 100), 90, 0)
    assert (found.verified_from, found.verified_to) == (0, 90), "what was proven of the old topic says nothing"
    run._range("logs", 1, Bounds(7, 100), -1, 0)
    assert [why.split(" ", 1)[0] for why in run.report.unsure] == ["logs-0", "logs-1"]
    run.close()


def test_what_was_proven_is_left_out(settings: Settings) -> None:
    run = run_of(settings, State({"logs-0": 60}, {}))
    assert run._range("logs", 0, Bounds(0, 100), 90, 0).verified_from == 60
    run.close()


def test_the_verdict() -> None:
    dropped = Gap("a.i", 1, 2, "dropped", lost=False)
    assert Report(None).verdict is Verdict.PROVEN
    assert Report(None, gaps=[dropped]).verdict is Verdict.PROVEN
    assert Report(None, gaps=[dropped], unsure=["x"]).verdict is Verdict.CANNOT_TELL
    for field, one in (
        ("lost", Lost("logs", 0, 1, "s", "", "", "log")),
        ("missing", Missing("a.i", "logs", 1, 1, "", 3)),
        ("gaps", Gap("a.i", 1, 2, "damaged", 4)),
        ("partitions", PartitionReport("logs", 0, 5, 5, 5, 9, deleted_unread=5)),
    ):
        report = Report(None, unsure=["x"])
        getattr(report, field).append(one)
        assert report.verdict is Verdict.LOST, field
        assert report.as_json()["verdict"] == "lost"


def test_a_record_that_lies_twice_in_kafka_is_lost_once() -> None:
    lost = [Lost("logs", 0, offset, "a.i:1:0", "", "", "log") for offset in (3, 9)]
    assert Report(None, lost=lost).lost_events == 1


def test_the_state_is_kept_and_a_broken_one_is_named(settings: Settings) -> None:
    assert states.load(settings) == State()
    states.save(settings, State({"logs-0": 5}, {"a.i": 7}))
    assert states.load(settings) == State({"logs-0": 5}, {"a.i": 7})
    states.path_of(settings).write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        states.load(settings)


def test_a_ledger_that_lost_its_beginning_cannot_tell_of_it(settings: Settings) -> None:
    run = run_of(settings, State({}, {"known.i": 13}))
    run._is_ledger_whole = True
    for key, first, last in (("a.i", 14, 20), ("idle.i", 14, 13), ("known.i", 14, 20), ("whole.i", 1, 20)):
        account = run._accounts.of(key)
        name, _, incarnation = key.partition(".")
        account.add(
            Page(name, incarnation, first, last, last + 1, 1, 1, topics=["t"], runs=[(0, f"0*{last - first + 1}")]), 1
        )
        run._ask_for_the_beginning(account)
    assert [why.split(":")[0] for why in run.report.unsure] == ["a.i", "idle.i"]
    assert "sequences 1-13" in run.report.unsure[0]
    run.close()


def test_a_ledger_that_is_not_read_from_its_beginning_is_not_asked_for_it(settings: Settings) -> None:
    run = run_of(settings)
    run._ask_for_the_beginning(run._accounts.of("a.i"))
    account = run._accounts.of("b.i")
    account.told_from = 14
    run._ask_for_the_beginning(account)
    assert run.report.unsure == []
    run.close()


def test_of_very_many_lost_records_the_offsets_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.verify.report.DESCRIBED", 2)
    report = Report(None)
    for partition, offsets in ((0, (1, 2, 3, 4, 7)), (1, (8, 9))):
        report.add_lost(Lost("logs", partition, offset, f"s{partition}{offset}", "", "", "log") for offset in offsets)
    assert [one.offset for one in report.lost] == [1, 2]
    assert [str(more) for more in report.lost_offsets] == [
        "logs-0, offsets 3-4 (2 records)",
        "logs-0, offsets 7-7 (1 records)",
        "logs-1, offsets 8-9 (2 records)",
    ]
    assert (report.verdict, report.lost_events) == (Verdict.LOST, 7)
