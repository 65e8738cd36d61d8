"""What a record is called and when it was received, also when a replay brought it back."""

from __future__ import annotations

from streaming.events import coordinates
from streaming.events.coordinates import Coordinates, Replay
from streaming.kafka.records import read_record
from tests.support.fake_message import APPENDED_MS, fake_message

AT = Coordinates("acc", "inc", 3, 4, 1_795_400_000_000_000_000, 5, "app")
HEADER = (coordinates.HEADER, coordinates.encode(AT))


def replayed(replay: Replay) -> tuple[str, bytes]:
    return (coordinates.REPLAY_HEADER, coordinates.encode_replay(replay))


def test_coordinates_name_a_record() -> None:
    record = read_record(fake_message(b"x", [HEADER]))
    assert (record.source, record.received_ns, record.event_ns, record.tag) == ("acc.inc:3:4", AT.received_ns, 5, "app")
    assert record.replay is None


def test_a_replayed_record_keeps_its_coordinates() -> None:
    record = read_record(fake_message(b"x", [HEADER, replayed(Replay("r1", 9))]))
    assert (record.source, record.received_ns) == ("acc.inc:3:4", AT.received_ns)
    assert record.replay == Replay("r1", 9)


def test_without_coordinates_a_replay_brings_back_the_first_name_and_time() -> None:
    first = read_record(fake_message(b"x", topic="logs", partition=2, offset=8))
    assert (first.source, first.received_ns) == ("logs-2-8", APPENDED_MS * 1_000_000)
    back = read_record(
        fake_message(
            b"x", [replayed(Replay("r1", 9, first.received_ns, first.source))], topic="logs", offset=99, appended_ms=5
        )
    )
    assert (back.source, back.received_ns) == (first.source, first.received_ns)


def test_headers_that_are_not_ours_count_as_none() -> None:
    record = read_record(fake_message(b"x", [(coordinates.HEADER, b"?"), (coordinates.REPLAY_HEADER, b"r:0")]))
    assert (record.coordinates, record.replay, record.source) == (None, None, "dead-letters-0-7")
