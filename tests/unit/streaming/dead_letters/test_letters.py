"""A dead letter says all that its writer knew, and reads whatever anybody wrote."""

from __future__ import annotations

from typing import cast

from confluent_kafka import Message, Producer
from hypothesis import given
from hypothesis import strategies as st

from streaming.dead_letters.letters import DeadLetters, Letter, read_letter
from streaming.events import coordinates
from streaming.events.coordinates import Coordinates, Replay
from tests.support.fake_message import APPENDED_MS, fake_message

AT = Coordinates("acc", "inc", 3, 4, 1_795_400_000_000_000_000, 0, "app")
HEADER = (coordinates.HEADER, coordinates.encode(AT))


class Kept:
    """A producer that keeps what it is given."""

    def __init__(self) -> None:
        self.records: list[Message] = []

    def produce(self, topic: str, value: bytes, key: bytes, headers: list[tuple[str, bytes]], **_: object) -> None:
        self.records.append(fake_message(value, headers, topic=topic, key=key))

    def flush(self, _: float) -> int:
        return 0


def sent(message: Message) -> Message:
    kept = Kept()
    DeadLetters(cast(Producer, kept), "dead-letters", "indexer").send(Letter(message, "not-utf8", "byte 7"))
    return kept.records[0]


def test_a_letter_holds_the_bytes_and_where_they_came_from() -> None:
    letter = read_letter(sent(fake_message(b"\xff", [HEADER], topic="logs", partition=5, offset=81)))
    assert (letter.value, letter.key, letter.reason, letter.detail) == (b"\xff", b"node-1", "not-utf8", "byte 7")
    assert (letter.worker, letter.source_topic, letter.source_partition, letter.source_offset) == (
        "indexer",
        "logs",
        5,
        81,
    )
    assert (letter.source, letter.received_ns, letter.coordinates) == ("acc.inc:3:4", AT.received_ns, AT)


def test_without_coordinates_the_place_in_kafka_and_the_append_time_stand_in() -> None:
    letter = read_letter(sent(fake_message(b"x", topic="logs", partition=5, offset=81)))
    assert (letter.source, letter.received_ns) == ("logs-5-81", APPENDED_MS * 1_000_000)


def test_a_letter_of_an_accumulator_has_its_coordinates_alone() -> None:
    letter = read_letter(fake_message(b"x", [HEADER, ("reason", b"no-route"), ("worker", b"acc"), ("topic", b"")]))
    assert (letter.source, letter.source_offset, letter.reason) == ("acc.inc:3:4", None, "no-route")


def test_a_letter_that_nobody_of_ours_wrote_has_a_name_too() -> None:
    letter = read_letter(fake_message(b"x", offset=12))
    assert (letter.source, letter.reason, letter.received_ns) == ("dead-letters-0-12", "unknown", None)


def test_a_letter_tells_which_replay_brought_its_original() -> None:
    back = (coordinates.REPLAY_HEADER, coordinates.encode_replay(Replay("r1", 9, 5_000, "logs-1-2")))
    letter = read_letter(sent(fake_message(b"x", [back], topic="logs", partition=5, offset=81)))
    assert letter.replay == Replay("r1", 9, 5_000, "logs-1-2")
    assert letter.source == "logs-1-2"


names = st.sampled_from(["reason", "detail", "worker", "topic", "partition", "offset", "received", "vigil"])


@given(st.lists(st.tuples(names | st.just("vigil-replay"), st.binary(max_size=40))))
def test_any_headers_are_read(headers: list[tuple[str, bytes]]) -> None:
    assert read_letter(fake_message(b"x", headers)).source
