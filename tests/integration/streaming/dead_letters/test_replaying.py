"""Dead letters come back into the logs once, whatever happens to the one who brings them."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from streaming.alerting.matcher.marks import Marks
from streaming.dead_letters.candidates import FromElasticsearch, FromKafka
from streaming.dead_letters.document import document_id
from streaming.dead_letters.finding import DeadLetterSearch, Selection
from streaming.dead_letters.reading import LetterReader
from streaming.dead_letters.receipts import Receipt, ReceiptBook, Receipts, read_receipts
from streaming.dead_letters.replaying import Outcome, Replayer
from streaming.errors import Unavailable, VigilError
from streaming.kafka.records import read_record
from streaming.kafka.transactions import Fenced
from streaming.settings import CHECKOUT

if TYPE_CHECKING:
    from tests.integration.streaming.dead_letters.conftest import Command, Morgue

EVERYTHING = Selection()


def dead_letters(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Starts `vigil dead-letters ARGUMENTS` as a process of its own, with nobody to be asked."""
    return subprocess.Popen(
        [sys.executable, "-m", "infra.cli", "dead-letters", *arguments],
        env=environment,
        cwd=CHECKOUT,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def clock() -> int:
    return 1_795_500_000_000


def replay(morgue: Morgue, selection: Selection = EVERYTHING, *, again: bool = False) -> Outcome:
    """As `--from-kafka` does."""
    with LetterReader(morgue.settings) as reader:
        letters = FromKafka(reader, selection, read_receipts(morgue.settings), again=again).letters()
        return Replayer(morgue.settings, clock).run(letters, again=again)


def evaluated(morgue: Morgue) -> Counter[str]:
    """How often the matcher evaluates each source."""
    marks, found = Marks(), Counter[str]()
    for message in morgue.logs():
        record = read_record(message)
        assert record.replay is not None
        found[record.source] += marks.passes_replayed(record.partition, record.replay)
    return found


def test_the_original_bytes_come_back_under_their_first_name(morgue: Morgue) -> None:
    values = {f"acc.inc:{n}:0": json.dumps({"node_id": f"n{n % 3}", "message": n}).encode() for n in range(1, 30)}
    for n, value in enumerate(values.values(), 1):
        morgue.put(value, n, key=None, flush=False)
    morgue.put(values["acc.inc:3:0"], 3, key=None)  # written twice by a worker that was killed
    assert replay(morgue).replayed == 29
    records = morgue.logs()
    assert {read_record(m).source: m.value() for m in records} == values
    assert {m.key() for m in records} == {b"n0", b"n1", b"n2"}
    replays = [r.replay for r in map(read_record, records) if r.replay]
    assert sorted(r.sequence for r in replays) == list(range(1, 30))
    assert len({r.replay_id for r in replays}) == 1


def test_a_second_replay_is_told_and_again_has_a_number_of_its_own(morgue: Morgue) -> None:
    morgue.put(b"\xff", 1)
    assert replay(morgue).replayed == 1
    assert replay(morgue).replayed == 0
    assert replay(morgue, again=True).replayed == 1
    assert evaluated(morgue) == {"acc.inc:1:0": 2}


def test_only_what_is_meant_comes_back(morgue: Morgue) -> None:
    for n, reason in enumerate(["not-utf8", "elasticsearch:x", "elasticsearch:y"], 1):
        morgue.put(b"x", n, reason)
    assert replay(morgue, Selection(reasons=["elasticsearch:*"])).replayed == 2
    assert replay(morgue, Selection(topics=["elsewhere"])).replayed == 0
    assert set(evaluated(morgue)) == {"acc.inc:2:0", "acc.inc:3:0"}


def test_what_the_logs_do_not_take_stays_and_is_named(morgue: Morgue) -> None:
    morgue.put(b"x" * 1_100_000, 1, "too-large")
    morgue.put(b"x" * 1_039_000, 2, "too-large")
    outcome = replay(morgue)
    assert (outcome.replayed, len(outcome.too_large)) == (1, 1)


class Killed(Exception):
    """The process is no more."""


@pytest.mark.parametrize("dies_at", [0, 1, 2, 3])
def test_a_replay_that_dies_between_any_two_steps_is_taken_up(
    morgue: Morgue, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    monkeypatch.setattr("streaming.dead_letters.replaying.BATCH_LETTERS", 4)
    for n in range(1, 11):
        morgue.put(b"x", n, flush=False)
    morgue.flush()
    steps = itertools.count()
    write = ReceiptBook.write

    def dying(book: ReceiptBook, receipts: Receipts, gone: Any = ()) -> None:
        if receipts and next(steps) == dies_at:
            raise Killed
        write(book, receipts, gone)

    with monkeypatch.context() as patched:
        patched.setattr(ReceiptBook, "write", dying)
        with pytest.raises(Killed):
            replay(morgue)
    outcome = replay(morgue)
    assert evaluated(morgue) == {f"acc.inc:{n}:0": 1 for n in range(1, 11)}
    assert outcome.resumed == (4 if dies_at % 2 else 0)
    assert replay(morgue).replayed == 0


def test_a_letter_that_was_planned_and_lies_elsewhere_now_is_replayed_anew(morgue: Morgue) -> None:
    """A backup was put back: the letters have other places, the receipts speak of the old ones."""
    morgue.put(b"x", 1)
    morgue.put(b"y", 2)
    with LetterReader(morgue.settings) as reader:
        first, second = [*reader.scan()]
    stale = Receipt(replay_id="r", sequence=1, partition=0, offset=second.offset, index="", at_ms=1)
    ReceiptBook(morgue.settings).write({document_id(first): stale})
    outcome = replay(morgue)
    assert (outcome.resumed, outcome.replayed) == (0, 2)
    assert set(evaluated(morgue)) == {"acc.inc:1:0", "acc.inc:2:0"}


def test_killed_for_good_and_started_again(morgue: Morgue, environment: dict[str, str], command: Command) -> None:
    for n in range(1, 3_001):
        morgue.put(b"x" * 300, n, key=f"node-{n % 7}", flush=n % 1_000 == 0)
    process = dead_letters(environment, "replay", "--from-kafka", "--yes")
    morgue.wait(lambda: process.poll() is not None or len(read_receipts(morgue.settings)) > 100, 40, "it has begun")
    process.kill()
    process.communicate()
    done = json.loads(command("replay", "--from-kafka", "--json")[0])
    assert done["resumed"] + done["replayed"] > 0
    assert done["already"] == 0  # they are left out by the scan
    assert evaluated(morgue) == {f"acc.inc:{n}:0": 1 for n in range(1, 3_001)}


def test_the_replay_that_starts_last_takes_over(morgue: Morgue) -> None:
    morgue.put(b"x", 1)
    with LetterReader(morgue.settings) as reader:
        letters = [*reader.scan()]
    first, second = Replayer(morgue.settings, clock), Replayer(morgue.settings, clock)
    with pytest.raises(Fenced):
        first.run(letters)
    assert second.run(letters).replayed == 1
    assert evaluated(morgue) == {"acc.inc:1:0": 1}


def test_through_elasticsearch_the_documents_say_that_they_were_replayed(morgue: Morgue) -> None:
    for n, reason in enumerate(["not-utf8", "not-utf8", "empty"], 1):
        morgue.put(b"x", n, reason)
    morgue.index()
    search = DeadLetterSearch(morgue.elastic, morgue.settings.index_prefix)
    search.refresh()
    meant = Selection(reasons=["not-utf8"])
    with LetterReader(morgue.settings) as reader:
        candidates = FromElasticsearch(search, reader, meant, again=False)
        assert candidates.preview().reasons == {"not-utf8": 2}
        replayer = Replayer(morgue.settings, clock)
        assert replayer.run(candidates.letters()).replayed == 2
        assert replayer.mark(search) == 0
        search.refresh()
        assert candidates.preview().total == 0
        assert [*candidates.letters()] == []
    assert search.counts(EVERYTHING) == {"empty": 1}
    marked = [d["vigil"].get("replayed_at") for d in morgue.documents()]
    assert marked == ["2026-11-24T06:00:00.000000000Z"] * 2 + [None]
    assert all(receipt.marked for receipt in read_receipts(morgue.settings).values())


def test_marks_wait_for_elasticsearch(morgue: Morgue) -> None:
    morgue.put(b"x", 1)
    with LetterReader(morgue.settings) as reader:
        replayer = Replayer(morgue.settings, clock)
        replayer.run(reader.scan())
    search = DeadLetterSearch(morgue.elastic, morgue.settings.index_prefix)
    assert replayer.mark(search) == 1  # no document yet
    morgue.index()
    assert Replayer(morgue.settings, clock).mark(search) == 0
    assert "replayed_at" in morgue.documents()[0]["vigil"]


def test_letters_are_found_at_their_places_and_nothing_else(morgue: Morgue) -> None:
    for n in range(20):
        morgue.put(b"x", n, flush=False)
    morgue.flush()
    with LetterReader(morgue.settings) as reader:
        places = [letter.place for letter in reader.scan()]
        wanted = [places[n] for n in (17, 3, 4)]
        assert [letter.place for letter in reader.at(wanted)] == sorted(wanted)
        assert [*reader.at([places[-1]._replace(offset=99)])] == []
        assert reader.earliest() == {0: 0}
        assert [*reader.scan(since_ms=2**42)] == []


def test_the_commands(morgue: Morgue, command: Command) -> None:
    morgue.put(b"\xff\x1b[31m", 1)
    morgue.put(b"{}", 2, "not-an-event")
    morgue.index()
    morgue.documents()
    listed = [json.loads(line) for line in command("list", "--json")[0].splitlines()]
    scanned = [json.loads(line) for line in command("list", "--json", "--from-kafka")[0].splitlines()]
    assert [d["_id"] for d in listed] == [d["_id"] for d in scanned]
    table, left = command("list")
    assert "not-an-event" in table
    assert "2 dead letters" in left
    shown = command("show", listed[0]["_id"])[0]
    assert "\\xff\\x1b[31m" in shown
    looked = command("replay", "--dry-run", "--reason", "not-utf8")[0]
    assert "1 dead letters: not-utf8 (1)" in looked
    with pytest.raises(VigilError, match="add --yes"):
        command("replay")
    assert morgue.logs() == []
    done = json.loads(command("replay", listed[1]["_id"], "--json")[0])
    assert (done["replayed"], done["left"]) == (1, {})
    assert [m.value() for m in morgue.logs()] == [b"{}"]


@pytest.mark.usefixtures("morgue")
def test_without_elasticsearch_the_way_round_is_named(
    command: Command, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(environment, "VIGIL_ELASTICSEARCH_URL", "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="--from-kafka"):
        command("list")
