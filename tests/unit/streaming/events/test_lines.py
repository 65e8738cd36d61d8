from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.events import lines
from streaming.events.model import Level

RECEIVED_NS = 1_795_502_291_000_000_000

# line, shape, level, message, and what else the shape holds
SHAPES: list[tuple[str, str, Level | None, str, dict[str, object]]] = [
    ("2015-10-18 18:01:47,978 INFO [main] org.x.Master: Created it", "log4j", Level.INFO, "Created it",
     {"logger": "org.x.Master", "thread": "main", "timestamp_ns": 1_445_191_307_978_000_000}),
    ("2015-10-18 18:01:47,978 FATAL [IPC [4] on 1] org.x.M: boom: again", "log4j", Level.FATAL, "boom: again",
     {"thread": "IPC [4] on 1"}),
    ("2015-07-29 17:41:44,747 - WARN  [Q[myid=1]/0:0:2181:Election@774] - late: 3", "zookeeper", Level.WARN, "late: 3",
     {"logger": "Election", "thread": "Q[myid=1]/0:0:2181", "labels": {"line": "774"}}),
    ("2017-05-16 00:00:00.008 25746 INFO nova.wsgi [req-1 a - -] GET", "oslo", Level.INFO, "GET",
     {"process_id": 25746, "logger": "nova.wsgi", "labels": {"request": "req-1 a - -"}}),
    ("nova.log.1.2017-05-16_13:53:08 2017-05-16 00:00:00.008 25 ERROR nova.x [-] [i: 1] oh", "oslo", Level.ERROR,
     "[i: 1] oh", {"labels": {"file": "nova.log.1.2017-05-16_13:53:08", "request": "-"}}),
    ("2024-01-02 03:04:05.678  INFO 4711 --- [  main] c.e.App   : Started", "spring", Level.INFO, "Started",
     {"process_id": 4711, "logger": "c.e.App"}),
    ("2024-01-02T03:04:05.678Z [worker-1] ERROR c.e.App - Failed", "logback", Level.ERROR, "Failed",
     {"thread": "worker-1", "logger": "c.e.App"}),
    ("2024-01-02 03:04:05,678 - app.db - CRITICAL - gone", "python", Level.FATAL, "gone", {"logger": "app.db"}),
    ("2024/01/02 03:04:05 [error] 12#0: *1 open() failed", "nginx", Level.ERROR, "*1 open() failed",
     {"process_id": 12}),
    ("2024-01-02 03:04:05.678 UTC [99] ERROR:  relation missing", "postgresql", Level.ERROR, "relation missing",
     {"process_id": 99}),
    ("2024-01-02 03:04:05 [INFO] ready", "leveled", Level.INFO, "ready", {}),
    ("[2024-01-02 03:04:05] [info] ready", "leveled", Level.INFO, "ready", {}),
    ("2024-01-02 03:04:05 WARN a.b.C: hm", "leveled", Level.WARN, "hm", {"logger": "a.b.C"}),
    ("2024-01-02 03:04:05 | ERROR | oh no", "leveled", Level.ERROR, "oh no", {}),
    ("2024-01-02 03:04:05 nothing about ERROR here", "timed", None, "nothing about ERROR here", {}),
    ("[Sun Dec 04 04:47:44 2005] [error] mod_jk", "apache", Level.ERROR, "mod_jk",
     {"timestamp_ns": 1_133_671_664_000_000_000}),
    ("[Sun Dec 04 04:47:44.123 2005] [core:notice] [pid 7:tid 8] up", "apache", Level.INFO, "up",
     {"logger": "core", "process_id": 7, "thread": "8"}),
    ("081109 203615 148 WARN dfs.Node$X: gone", "hdfs", Level.WARN, "gone",
     {"process_id": 148, "logger": "dfs.Node$X", "timestamp_ns": 1_226_262_975_000_000_000}),
    ("17/06/09 20:10:40 INFO exec.Back: a: b", "spark", Level.INFO, "a: b", {"logger": "exec.Back"}),
    ("Jun 14 15:16:01 combo sshd(pam_unix)[19939]: error; fatal", "syslog", None, "error; fatal",
     {"host": "combo", "logger": "sshd(pam_unix)", "process_id": 19939}),
    ("Jun  4 15:16:01 combo syslogd 1.4.1: restart.", "syslog", None, "syslogd 1.4.1: restart.", {"logger": None}),
    ("<11>Jun 14 15:16:01 combo app: bad", "syslog", Level.ERROR, "bad", {"logger": "app"}),
    ('<34>1 2003-10-11T22:14:15.003Z h su 4 ID47 [a@1 b="c"] su failed', "syslog", Level.FATAL, "su failed",
     {"host": "h", "logger": "su", "process_id": 4}),
    ("1445191307.978 ERROR boom", "leveled", Level.ERROR, "boom", {"timestamp_ns": 1_445_191_307_978_000_000}),
    ("INFO:app.web:started", "python", Level.INFO, "started", {"logger": "app.web"}),
    ("ERROR: it broke", "leveled", Level.ERROR, "it broke", {}),
    ("[warn] it bends", "leveled", Level.WARN, "it bends", {}),
    ('1.2.3.4 - bob [04/Dec/2005:04:47:44 +0000] "GET /x?y HTTP/1.1" 503 12', "access", None,
     '1.2.3.4 - bob [04/Dec/2005:04:47:44 +0000] "GET /x?y HTTP/1.1" 503 12',
     {"http_method": "GET", "http_path": "/x?y", "http_status": 503}),
    ("an ERROR in the middle", "text", None, "an ERROR in the middle", {"timestamp_ns": None}),
    ("Errors happen", "text", None, "Errors happen", {}),
    ("2015-99-99 18:01:47 INFO no such day", "text", None, "2015-99-99 18:01:47 INFO no such day", {}),
    ("", "text", None, "", {}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "shape", "level", "message", "others"), SHAPES, ids=[row[0][:40] for row in SHAPES])
def test_shapes(text: str, shape: str, level: Level | None, message: str, others: dict[str, object]) -> None:
    for end in ("", "\n", "\r\n", "\r"):
        line = lines.split(text + end, RECEIVED_NS)
        assert (line.shape, line.level, line.message) == (shape, level, message)
        assert {name: getattr(line, name) for name in others} == others


def test_a_line_without_level_or_time_is_info_at_the_time_it_came() -> None:
    event = lines.read("hello\r\n", received_ns=5, event_ns=0, tag="app")
    assert (event.level, event.timestamp_ns, event.time_source) == (Level.INFO, 5, "received")
    assert (event.message, event.original, event.service) == ("hello", "hello\r\n", "app")
    assert lines.read("hello", received_ns=5, event_ns=4).time_source == "forward"
    assert lines.read("hello", received_ns=5).original is None


def test_a_message_of_several_lines_stays_one() -> None:
    text = "2015-10-18 18:01:47,978 ERROR [main] a.B: boom\n\tat a.B.c(B.java:1)\n\tat a.B.d(B.java:2)\n"
    assert lines.split(text, 1).message == "boom\n\tat a.B.c(B.java:1)\n\tat a.B.d(B.java:2)"


def test_control_characters_are_data() -> None:
    assert lines.split("2015-10-18 18:01:47 INFO \x1b[31mred\x00", 1).message == "\x1b[31mred\x00"


@given(st.text())
def test_any_text_is_a_log(text: str) -> None:
    event = lines.read(text, received_ns=RECEIVED_NS)
    assert (event.original or event.message) == text


@given(st.lists(st.sampled_from([row[0] for row in SHAPES] + list(' []:-<>0a"\n')), max_size=6))
def test_any_text_like_a_line_is_a_log(parts: list[str]) -> None:
    text = "".join(part[: len(part) // 2 + 1] for part in parts)
    event = lines.read(text, received_ns=RECEIVED_NS)
    assert (text if event.original is None else event.original) == text
    assert event.message in text


@pytest.mark.parametrize(
    "unit", ["[", "a.", "2015-10-18 18:01:47 [", " ", "[a]", "x:", "INFO ", '" ', "]", "-", "@1] "]
)
@pytest.mark.parametrize(
    "head", ["", "2015-10-18 18:01:47 - INFO [", "Jun 14 15:16:01 ", "[Sun Dec 04 04:47:44 2005] ["]
)
def test_hostile_lines_cost_no_more_than_long_ones(head: str, unit: str) -> None:
    text = head + unit * 200_000
    start = time.process_time()
    lines.split(text, RECEIVED_NS)
    assert time.process_time() - start < 0.5
