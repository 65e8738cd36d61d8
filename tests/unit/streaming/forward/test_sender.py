from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.forward import event_time
from streaming.forward.sender import (
    ForwardError,
    ForwardSender,
    PipelinedSender,
    chunk_of,
    make_chunk,
    new_chunk_id,
    pack_entry,
)

if TYPE_CHECKING:
    from tests.conftest import ForwardServer

NOW = 1_700_000_000_123_456_789


def sender(server: ForwardServer, timeout_s: float = 5.0) -> ForwardSender:
    return ForwardSender("127.0.0.1", server.port, timeout_s=timeout_s)


def test_send_returns_after_the_acknowledgement(forward_server: ForwardServer) -> None:
    one = sender(forward_server)
    one.send("order", [(NOW, {"message": "one"}), (NOW + 1, {"message": "two"})])
    assert [(e.tag, e.time_ns, e.record) for e in forward_server.events] == [
        ("order", NOW, {"message": "one"}),
        ("order", NOW + 1, {"message": "two"}),
    ]
    one.close()


def test_nothing_is_sent_for_no_entries(forward_server: ForwardServer) -> None:
    sender(forward_server).send("order", [])
    assert forward_server.chunks == []


def test_a_server_that_is_away_is_named(forward_server: ForwardServer) -> None:
    forward_server.stop()
    with pytest.raises(ForwardError, match=rf"127\.0\.0\.1:{forward_server.port} does not answer: Connection refused"):
        sender(forward_server).send("order", [(NOW, {})])


def test_an_acknowledgement_that_does_not_come_is_an_error_and_the_resend_keeps_its_id(
    forward_server: ForwardServer,
) -> None:
    forward_server.mode = "mute"
    one = sender(forward_server, timeout_s=0.1)
    with pytest.raises(ForwardError, match="time-out"):
        one.send("order", [(NOW, {"n": 1})], chunk_id="the-chunk")
    forward_server.mode = "ack"
    one = sender(forward_server)
    one.send("order", [(NOW, {"n": 1})], chunk_id="the-chunk")
    assert forward_server.chunks == ["the-chunk", "the-chunk"]
    assert len(forward_server.events) == 1
    one.close()


def test_it_connects_anew_after_an_error(forward_server: ForwardServer) -> None:
    one = sender(forward_server)
    forward_server.cuts = 1
    with pytest.raises(ForwardError, match=r"closed the connection|reset"):
        one.send("order", [(NOW, {"n": 1})])
    one.send("order", [(NOW, {"n": 2})])
    assert [r["n"] for r in forward_server.records()] == [1, 2]
    one.close()


def test_an_idle_connection_that_was_closed_is_noticed_before_the_send(forward_server: ForwardServer) -> None:
    one = sender(forward_server)
    one.send("order", [(NOW, {"n": 1})])
    forward_server.stop()
    forward_server.start()
    one.send("order", [(NOW, {"n": 2})])
    assert [r["n"] for r in forward_server.records()] == [1, 2]
    one.close()


def test_an_answer_of_another_protocol_is_an_error(forward_server: ForwardServer) -> None:
    forward_server.mode = "noise"
    with pytest.raises(ForwardError, match="not the Forward protocol"):
        sender(forward_server).send("order", [(NOW, {})])


def test_a_server_that_wants_a_shared_key_is_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(msgpack.packb(["HELO", {"nonce": b"x", "auth": b"", "keepalive": True}]))
                connection.recv(65536)

        threading.Thread(target=greet, daemon=True).start()
        one = ForwardSender("127.0.0.1", listener.getsockname()[1])
        with pytest.raises(ForwardError, match="shared key"):
            one.send("order", [(NOW, {})])


def test_an_endless_answer_is_an_error_and_no_other_exception() -> None:
    """Any other would end the thread of the client for good: whoever calls waits for `ForwardError`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            link, _ = listener.accept()
            with link, contextlib.suppress(OSError):
                link.sendall(b"\xc6\x7f\xff\xff\xff" + b"x" * 2_000_000)
                # A close with the client's frame unread would be a reset, which takes back what was answered.
                while link.recv(65_536):
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        one = ForwardSender("127.0.0.1", listener.getsockname()[1])
        with pytest.raises(ForwardError, match="not the Forward protocol"):
            one.send("order", [(NOW, {})])
        thread.join(5.0)


def test_chunk_ids_are_128_random_bits() -> None:
    ids = {new_chunk_id() for _ in range(100)}
    assert len(ids) == 100
    assert {len(i) for i in ids} == {24}


@given(st.lists(st.binary(max_size=5).map(lambda b: b"\xc0" + b), max_size=5), st.text(), st.text(min_size=1))
def test_a_chunk_holds_tag_entries_id_and_size(packed: list[bytes], tag: str, chunk_id: str) -> None:
    clean_tag, clean_id = (s.encode("utf-8", "replace").decode() for s in (tag, chunk_id))
    chunk = chunk_of(clean_tag, packed, clean_id)
    assert msgpack.unpackb(chunk.frame) == [clean_tag, b"".join(packed), {"chunk": clean_id, "size": len(packed)}]
    assert (chunk.id, chunk.events) == (clean_id, len(packed))


@given(st.integers(0, 2**32 * 10**9 - 1), st.text(st.characters(codec=None, exclude_categories=[])))
def test_an_entry_holds_time_and_any_text(time_ns: int, text: str) -> None:
    when, record = msgpack.unpackb(pack_entry(time_ns, {"message": text}))
    assert event_time.decode(when) == time_ns
    assert record == {"message": text.encode("utf-8", "backslashreplace").decode()}


def pipeline(server: ForwardServer, window: int = 4, retry_for_s: float = 10.0) -> PipelinedSender:
    return PipelinedSender(
        "127.0.0.1", server.port, window=window, timeout_s=5.0, retry_for_s=retry_for_s, pause=lambda _: None
    )


def numbered(n: int) -> tuple[int, dict[str, object]]:
    return NOW, {"n": n}


def test_many_chunks_under_way_arrive_in_order(forward_server: ForwardServer) -> None:
    many = pipeline(forward_server)
    for n in range(0, 100, 2):
        many.send_nowait(make_chunk("t", [numbered(n), numbered(n + 1)]))
    many.drain()
    assert many.acknowledged == 100
    assert [r["n"] for r in forward_server.records()] == list(range(100))
    many.close()


def test_no_more_than_the_window_is_under_way(forward_server: ForwardServer) -> None:
    forward_server.mode = "mute"
    many = pipeline(forward_server, window=3)
    for n in range(3):
        many.send_nowait(make_chunk("t", [numbered(n)]))
    blocked = threading.Thread(target=lambda: many.send_nowait(make_chunk("t", [numbered(3)])), daemon=True)
    blocked.start()
    forward_server.wait_for(lambda: len(forward_server.chunks) == 3)
    assert blocked.is_alive()
    forward_server.mode = "ack"
    forward_server.cut()
    blocked.join(5)
    many.drain()
    assert [r["n"] for r in forward_server.records()] == [0, 1, 2, 3]
    many.close()


@pytest.mark.parametrize("cuts", [1, 3])
def test_a_lost_connection_loses_and_doubles_nothing(forward_server: ForwardServer, cuts: int) -> None:
    forward_server.cuts = cuts
    many = pipeline(forward_server)
    for n in range(50):
        many.send_nowait(make_chunk("t", [numbered(n)]))
    many.drain()
    assert many.acknowledged == 50
    assert sorted(int(str(r["n"])) for r in forward_server.records()) == list(range(50))
    assert len(forward_server.chunks) > 50, "the cut chunks were sent again, with their ids"
    many.close()


def test_a_connection_lost_between_two_sends_is_noticed_by_the_second(forward_server: ForwardServer) -> None:
    forward_server.mode = "mute"
    many = pipeline(forward_server)
    many.send_nowait(make_chunk("t", [numbered(0)], chunk_id="first"))
    forward_server.wait_for(lambda: forward_server.chunks == ["first"])
    forward_server.stop()
    forward_server.mode = "ack"
    forward_server.start()
    many.send_nowait(make_chunk("t", [numbered(1)], chunk_id="second"))
    forward_server.wait_for(lambda: forward_server.chunks == ["first", "first", "second"], timeout_s=2)
    many.drain()
    assert many.acknowledged == 2
    many.close()


def test_a_server_that_stays_away_is_given_up(forward_server: ForwardServer) -> None:
    many = pipeline(forward_server, retry_for_s=0.0)
    many.connect()
    forward_server.stop()

    def send() -> None:
        many.send_nowait(make_chunk("t", [numbered(1)]))
        many.drain()

    with pytest.raises(ForwardError, match="does not answer"):
        send()


def test_connect_tells_a_wrong_address_at_once(forward_server: ForwardServer) -> None:
    forward_server.stop()
    with pytest.raises(ForwardError, match="does not answer"):
        pipeline(forward_server).connect()
