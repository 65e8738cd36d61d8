"""Name, place and content of a dead letter's document."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streaming.dead_letters.document import (
    ORIGINAL_BYTES,
    bare_document,
    document,
    document_id,
    encode,
    index_of,
)
from streaming.dead_letters.letters import DeadLetter, read_letter
from streaming.events import coordinates
from streaming.events.coordinates import Coordinates, Replay
from streaming.events.fields import DEAD_LETTER_FIELDS
from tests.support.fake_message import APPENDED_MS, fake_message

NOW_NS = APPENDED_MS * 1_000_000 + 5_000
AT = Coordinates("acc", "inc", 3, 4, 1_795_400_000_000_000_000, 0, "app")


def letter(
    value: bytes = b"x", *, reason: str = "not-utf8", replay: Replay | None = None, offset: int = 7
) -> DeadLetter:
    headers = [
        (coordinates.HEADER, coordinates.encode(AT)),
        ("reason", reason.encode()),
        ("worker", b"indexer"),
        ("topic", b"logs"),
        ("partition", b"5"),
        ("offset", b"81"),
    ]
    if replay:
        headers.append((coordinates.REPLAY_HEADER, coordinates.encode_replay(replay)))
    return read_letter(fake_message(value, headers, offset=offset))


def made(value: bytes) -> Any:
    return json.loads(encode(document(letter(value), NOW_NS)))


def test_a_repeat_is_the_same_document_wherever_it_lies() -> None:
    assert document_id(letter(offset=7)) == document_id(letter(offset=70_000))
    assert len(document_id(letter())) == 22


def test_another_reason_or_another_replay_is_another_document() -> None:
    ids = {
        document_id(letter()),
        document_id(letter(reason="empty")),
        document_id(letter(replay=Replay("r1", 1))),
        document_id(letter(replay=Replay("r1", 2))),
    }
    assert len(ids) == 4


def test_the_index_is_that_of_the_day_on_which_the_original_was_received() -> None:
    received_ns = 1_795_400_000 * 10**9
    one = letter()._replace(received_ns=received_ns)
    for days in (0, 1, 5):  # written again after midnight, or put back from a backup
        again = one._replace(appended_ms=APPENDED_MS + days * 86_400_000, offset=days)
        assert index_of(again, "vigil", 30, NOW_NS) == "vigil-dead-letters-2026.11.23"
    assert index_of(one, "vigil", 30, received_ns + 31 * 86_400 * 10**9) is None


def test_where_no_receive_time_is_known_it_is_the_day_of_the_append_and_then_today() -> None:
    for received_ns in (None, -1):
        unknown = letter()._replace(received_ns=received_ns)
        assert index_of(unknown, "vigil", 30, NOW_NS) == "vigil-dead-letters-2026.11.24"
    wild = letter()._replace(received_ns=None, appended_ms=-1)
    assert index_of(wild, "vigil", 30, NOW_NS) == "vigil-dead-letters-2026.11.24"


def test_every_field_is_declared() -> None:
    def paths(value: object, path: str = "") -> set[str]:
        if not isinstance(value, dict):
            return {path}
        return {p for key, inner in value.items() for p in paths(inner, f"{path}.{key}" if path else key)}

    full = document(letter(replay=Replay("r1", 1)), NOW_NS)
    assert paths(full) | {"vigil.replayed_at", "vigil.replayed_by"} == set(DEAD_LETTER_FIELDS)


def test_the_original_is_there_as_text_and_as_bytes() -> None:
    found = made("{Käse\0}".encode())
    assert found["event"]["original"] == "{Käse\0}"
    assert base64.b64decode(found["dead_letter"]["base64"]) == "{Käse\0}".encode()
    assert (found["dead_letter"]["size"], found["dead_letter"]["cut"]) == (8, False)
    assert "original" not in made(b"\xff\xfe")["event"]


def test_of_a_large_original_the_beginning_is_there_and_its_digest() -> None:
    value = "ä".encode() * ORIGINAL_BYTES
    found = made(b"x" + value)
    assert found["event"]["original"] == "x" + "ä" * (ORIGINAL_BYTES // 2 - 1)
    assert len(base64.b64decode(found["dead_letter"]["base64"])) == ORIGINAL_BYTES
    assert (found["dead_letter"]["size"], found["dead_letter"]["cut"]) == (len(value) + 1, True)
    assert found["dead_letter"]["sha256"] == hashlib.sha256(b"x" + value).hexdigest()


def test_the_bare_document_holds_nothing_of_the_sender() -> None:
    found = bare_document(letter(b"secret"), NOW_NS)
    assert "secret" not in json.dumps(found)
    assert json.loads(encode(found))["vigil"]["kafka"] == {"topic": "dead-letters", "partition": 0, "offset": 7}


names = st.sampled_from(["reason", "detail", "worker", "topic", "partition", "offset", "received", "vigil-replay"])
hostile = st.tuples(
    st.just("vigil"), st.text(max_size=9).map(lambda t: f"{t}:i:1:0:{10**30}:0:t".encode("utf-8", "surrogatepass"))
)


@given(st.binary(max_size=300), st.lists(st.tuples(names, st.binary(max_size=40)) | hostile))
def test_any_letter_becomes_one_line_of_json(value: bytes, headers: list[tuple[str, bytes]]) -> None:
    any_letter = read_letter(fake_message(value, headers))
    line = encode(document(any_letter, NOW_NS))
    assert b"\n" not in line
    assert json.loads(line)["@timestamp"] == "2026-11-24T06:00:00.000000000Z"
    assert len(document_id(any_letter)) == 22
