"""Syslog messages to records, and the logs that documents are made of."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.accumulator.delivery.events import Event, read_events
from streaming.accumulator.sources.entries import packed
from streaming.accumulator.sources.syslog_messages import Format, Message, continuation, parse
from streaming.events import parse as events
from streaming.events.model import Level, LogEvent


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


RECEIVED_NS = ns("2026-10-11T23:00:00")


def read(raw: bytes, message_format: Format = "auto", received_ns: int = RECEIVED_NS) -> Message:
    return parse(raw, message_format, received_ns=received_ns, peer="192.0.2.7")


def log_of(message: Message, received_ns: int = RECEIVED_NS) -> LogEvent:
    """The whole way: msgpack, the accumulator's JSON, the event model."""
    (event,) = read_events(packed(message.time_ns, message.record))
    assert isinstance(event, Event)
    found = events.parse(event.value, received_ns=received_ns, event_ns=event.time_ns, tag="syslog.x")
    assert isinstance(found, LogEvent)
    return found


def test_rfc_3164() -> None:
    message = read(b"<34>Oct 11 22:14:15 mymachine su[230]: 'su root' failed on /dev/pts/8\n")
    assert message.record == {
        "pri": 34,
        "time": "Oct 11 22:14:15",
        "host": "mymachine",
        "ident": "su",
        "pid": "230",
        "message": "'su root' failed on /dev/pts/8",
        "node_id": "mymachine",
    }
    assert message.time_ns == ns("2026-10-11T22:14:15")
    assert (message.facility, message.severity) == ("auth", "crit")


@pytest.mark.parametrize(
    ("text", "host", "ident", "pid", "message"),
    [
        ("Oct 11 22:14:15 h last message repeated 2 times", "h", None, None, "last message repeated 2 times"),
        ("Oct 11 22:14:15 su: hello", None, "su", None, "hello"),
        ("Oct 11 22:14:15 sshd[12]: hello", None, "sshd", "12", "hello"),
        ("Oct  1 22:14:15 h postfix/smtpd[9]: a: b", "h", "postfix/smtpd", "9", "a: b"),
        ("Oct 11 22:14:15 h sshd(pam_unix)[19939]: x", "h", "sshd(pam_unix)", "19939", "x"),
        ("Oct 11 22:14:15 fe80::1 kernel: [ 12.5] x", "fe80::1", "kernel", None, "[ 12.5] x"),
        ("Oct 11 2024 22:14:15 h app:  two blanks", "h", "app", None, " two blanks"),
        ("2026-10-11T22:14:15.5+02:00 h app: x", "h", "app", None, "x"),
        ("Oct 11 22:14:15 h app[1] no colon", "h", "app", "1", "no colon"),
        ("Oct 11 22:14:15 h", "h", None, None, ""),
        ("Oct 11 22:14:15 h a: one\n two", "h", "a", None, "one\n two"),
    ],
)
def test_shapes_of_rfc_3164(text: str, host: str | None, ident: str | None, pid: str | None, message: str) -> None:
    record = read(f"<13>{text}".encode()).record
    got = tuple(record.get(name) for name in ("host", "ident", "pid", "message"))
    assert got == (host, ident, pid, message)
    assert record["node_id"] == (host or "192.0.2.7")


@pytest.mark.parametrize(
    ("text", "received", "expected"),
    [
        ("Dec 31 23:59:59", "2027-01-01T00:00:05", "2026-12-31T23:59:59"),  # written before midnight
        ("Jan  1 00:00:01", "2026-12-31T23:59:58", "2027-01-01T00:00:01"),  # by a clock that is ahead
        ("Jan  1 00:00:01", "2027-01-01T00:00:05", "2027-01-01T00:00:01"),
        ("Feb 29 12:00:00", "2026-03-01T00:00:00", "2024-02-29T12:00:00"),
        ("Oct 11 2024 22:14:15", "2026-10-11T22:14:16", "2024-10-11T22:14:15"),
        ("2024 Oct 11 22:14:15", "2026-10-11T22:14:16", "2024-10-11T22:14:15"),
        ("Oct 11 22:14:15 +0200", "2026-10-11T22:14:16", "2026-10-11T20:14:15"),
        ("2003-10-11T22:14:15+02:00", "2026-10-11T22:14:16", "2003-10-11T20:14:15"),
    ],
)
def test_the_year_follows_from_the_receive_time(text: str, received: str, expected: str) -> None:
    message = read(f"<13>{text} h a: b".encode(), received_ns=ns(received))
    assert message.time_ns == ns(expected)
    assert log_of(message, ns(received)).timestamp_ns == ns(expected)


def test_rfc_5424() -> None:
    raw = (
        "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 4711 ID47 "
        '[exampleSDID@32473 iut="3" eventSource="Appli\\"c\\]a\\\\tion" p="1" p="2"][empty@1] \ufeffAn event\n line'
    ).encode()
    message = read(raw)
    assert message.record == {
        "pri": 165,
        "time": "2003-10-11T22:14:15.003Z",
        "host": "mymachine.example.com",
        "ident": "evntslog",
        "pid": "4711",
        "msgid": "ID47",
        "structured_data": {
            "exampleSDID@32473": {"iut": "3", "eventSource": 'Appli"c]a\\tion', "p": ["1", "2"]},
            "empty@1": {},
        },
        "message": "An event\n line",
        "node_id": "mymachine.example.com",
    }
    assert message.time_ns == ns("2003-10-11T22:14:15") + 3_000_000
    assert (message.facility, message.severity) == ("local4", "notice")


def test_what_rfc_5424_says_with_a_dash_is_left_out() -> None:
    assert read(b"<0>1 - - - - - -").record == {"pri": 0, "message": "", "node_id": "192.0.2.7"}
    assert read(b"<0>1 - - - - - - hi").record["message"] == "hi"


@pytest.mark.parametrize(
    ("data", "rest"),
    [("[a", "[a x"), ('[a b="c] x', '[a b="c] x x'), ("-x", "-x x"), ('[a b="c"]x', '[a b="c"]x x'), ("[]", "[] x")],
)
def test_broken_structured_data_stays_in_the_message(data: str, rest: str) -> None:
    record = read(f"<1>1 - h app - - {data} x".encode()).record
    assert (record["host"], record["ident"], record["message"]) == ("h", "app", rest)
    assert "structured_data" not in record


def test_an_element_given_twice_leaves_the_text() -> None:
    record = read(b'<1>1 - h app - - [a b="1"][a b="2"] x').record
    assert (record["extradata"], record["message"]) == ('[a b="1"][a b="2"]', "x")


@pytest.mark.parametrize(
    ("raw", "message_format", "message", "pri", "tag"),
    [
        (b"plain words", "auto", "plain words", None, ("user", "notice")),
        (b"<999>plain", "auto", "<999>plain", None, ("user", "notice")),
        (b"<x>plain", "auto", "<x>plain", None, ("user", "notice")),
        (b"<191>no time", "auto", "no time", 191, ("local7", "debug")),
        (b"<3>1 broken", "auto", "1 broken", 3, ("kern", "err")),
        (b"<3>Oct 11 22:14:15 h a: b", "rfc5424", "Oct 11 22:14:15 h a: b", 3, ("kern", "err")),
        (b"<3>1 - - - - - - b", "rfc3164", "1 - - - - - - b", 3, ("kern", "err")),
        (b"<3>Feb 31 22:14:15 h a: b", "auto", "Feb 31 22:14:15 h a: b", 3, ("kern", "err")),
    ],
)
def test_what_is_not_as_it_should_be_stays_text(
    raw: bytes, message_format: Format, message: str, pri: int | None, tag: tuple[str, str]
) -> None:
    found = read(raw, message_format)
    assert (found.record["message"], found.record.get("pri")) == (message, pri)
    assert (found.facility, found.severity) == tag


def test_a_program_without_a_time_needs_its_process_id() -> None:
    record = read(b"<14>app[17]: started\0").record
    assert (record["ident"], record["pid"], record["message"]) == ("app", "17", "started")
    assert read(b"<11>error: no disk").record == {"pri": 11, "message": "error: no disk", "node_id": "192.0.2.7"}
    assert "ident" not in read(b"app[17]: without a priority").record


def test_bytes_that_are_no_text_are_kept() -> None:
    raw = b"<13>Oct 11 22:14:15 h app: caf\xe9"
    (event,) = read_events(packed(0, read(raw).record))
    assert isinstance(event, Event)
    said = orjson.loads(event.value)
    assert said["message"] == "caf\ufffd"
    assert "vigil_original_msgpack" in said


@pytest.mark.parametrize(
    ("severity", "level"),
    [
        (0, Level.FATAL),
        (1, Level.FATAL),
        (2, Level.FATAL),
        (3, Level.ERROR),
        (4, Level.WARN),
        (5, Level.INFO),
        (6, Level.INFO),
        (7, Level.DEBUG),
    ],
)
def test_the_document_has_level_service_host_and_time(severity: int, level: Level) -> None:
    line = f"<{16 * 8 + severity}>Oct 11 22:14:15 web-1 nginx[17]: INFO said the text"
    event = log_of(read(line.encode()))
    assert (event.level, event.service, event.host, event.node_id) == (level, "nginx", "web-1", "web-1")
    assert (event.process_id, event.message) == (17, "INFO said the text")
    assert (event.timestamp_ns, event.time_source) == (ns("2026-10-11T22:14:15"), "event")


def test_a_further_piece_says_who_sent_it() -> None:
    first = read(b'<3>1 - h app 7 ID [a b="1"] begin')
    piece = continuation(b"and end\r\n", first)
    assert piece.record == {
        "pri": 3, "host": "h", "ident": "app", "pid": "7", "msgid": "ID", "node_id": "h",
        "message": "and end", "continued": True,
    }  # fmt: skip
    assert piece.priority == 3


@given(st.binary(max_size=300), st.sampled_from(["auto", "rfc3164", "rfc5424"]))
def test_any_bytes_give_a_record_that_holds_them(raw: bytes, message_format: Format) -> None:
    message = read(raw, message_format)
    packed(message.time_ns, message.record)
    text = message.record["message"]
    assert isinstance(text, str)
    # All of these bytes are in some field: here nearly always in the message, whole.
    if "host" not in message.record and "ident" not in message.record:
        rest = raw.rstrip(b"\r\n\0").decode("utf-8", "surrogateescape")
        assert rest.endswith(text)


WORD = st.text("abcXYZ019./_", min_size=1, max_size=12)
VALUE = st.text(max_size=30).map(lambda text: text.encode("utf-8", "replace").decode())


@settings(max_examples=50)
@given(
    st.integers(0, 191),
    st.dictionaries(WORD, st.dictionaries(WORD, VALUE, max_size=3), max_size=3),
    WORD,
    VALUE.filter(lambda text: text.rstrip("\r\n\0") == text and not text.startswith("\ufeff")),
)
def test_rfc_5424_comes_back_whole(pri: int, data: dict[str, dict[str, str]], word: str, text: str) -> None:
    def escaped(value: str) -> str:
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")

    written = "".join(
        f"[{name}" + "".join(f' {key}="{escaped(value)}"' for key, value in pairs.items()) + "]"
        for name, pairs in data.items()
    )
    record = read(f"<{pri}>1 - {word} {word} - {word} {written or '-'} {text}".encode()).record
    assert record.get("structured_data", {}) == data
    assert (record["pri"], record["host"], record["msgid"], record["message"]) == (pri, word, word, text)
