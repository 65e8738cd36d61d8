"""Lines of plain text: time, level, thread, logger and process id by the shape of the line's head.

A shape is a regular expression for the head; the message is all that follows it, further lines included. The shapes
are tried in the order of `_SHAPES` and, after an ISO time, of `_TAILS`; the first that fits decides. Rules:

- A level is read only where a shape has its place for one, never from words in the message. A line without one
  (all of syslog without a priority, for instance) is INFO.
- A time without a zone or year is read by the rules of times.py.
- A carriage return or newline at the end is not part of the message. `original` holds the line as it came wherever
  the message is not the whole of it.
- Patterns are bounded, so that a hostile line costs no more than a long one.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from streaming.events.levels import Scale, level_of
from streaming.events.model import Json, Level, LogEvent
from streaming.events.times import time_of

PLAIN: Final = "text"
"""Dialect of a line that has none of the shapes."""


class Line(NamedTuple):
    """What a line says of itself; None where it does not."""

    shape: str
    message: str
    timestamp_ns: int | None = None
    level: Level | None = None
    logger: str | None = None
    thread: str | None = None
    process_id: int | None = None
    host: str | None = None
    http_method: str | None = None
    http_path: str | None = None
    http_status: int | None = None
    labels: dict[str, Json] | None = None


def read(text: str, *, received_ns: int, event_ns: int = 0, tag: str = "") -> LogEvent:
    """The line as a log of its own; `tag` stands in for the service."""
    line = split(text, received_ns)
    time_ns, source = line.timestamp_ns, "event"
    if time_ns is None:
        time_ns, source = (event_ns, "forward") if event_ns > 0 else (received_ns, "received")
    return LogEvent(
        timestamp_ns=time_ns,
        level=line.level or Level.INFO,
        message=line.message,
        service=tag,
        host=line.host,
        logger=line.logger,
        thread=line.thread,
        process_id=line.process_id,
        http_method=line.http_method,
        http_path=line.http_path,
        http_status=line.http_status,
        labels=line.labels or {},
        original=None if line.message == text else text,
        time_source=source,
        dialect=line.shape,
    )


def split(text: str, received_ns: int) -> Line:
    """The parts of the line; a line without any shape is all message. `received_ns` dates times without a year."""
    for pattern, name in _SHAPES.get(text[:1], _OTHER_SHAPES):
        found = pattern.match(text)
        if found is None:
            continue
        if name is not None:
            line = _line(name, found, text, received_ns)
        elif (tail := _tail(text, found.end())) is not None:
            line = _line(tail[1], found, text, received_ns, tail[0])
        else:
            continue
        if line is not None:
            return line
    return Line(PLAIN, _chomped(text))


def _tail(text: str, start: int) -> tuple[re.Match[str], str] | None:
    for pattern, name in _TAILS:
        found = pattern.match(text, start)
        if found is not None:
            return found, name
    return None


def _line(
    shape: str, head: re.Match[str], text: str, received_ns: int, tail: re.Match[str] | None = None
) -> Line | None:
    """The line as the groups of its patterns name its parts; None if what stands in the time's place is no time."""
    part = head.groupdict()
    if tail is not None:
        part.update(tail.groupdict())
    timestamp_ns = None
    time_text = part.pop("time", None)
    if time_text is not None:
        timestamp_ns = time_of(time_text, received_ns=received_ns)
        if timestamp_ns is None:
            return None
    level = level_of(part.pop("level", None))
    priority = part.pop("priority", None)
    if priority is not None:
        level = level_of(int(priority) & 7, Scale.SYSLOG)  # RFC 5424: facility * 8 + severity
    pid, status = part.pop("pid", None), part.pop("status", None)
    message = text if shape == _ACCESS else text[(tail or head).end() :]
    return Line(
        shape,
        _chomped(message),
        timestamp_ns,
        level,
        part.pop("logger", None),
        part.pop("thread", None),
        None if pid is None else int(pid),
        part.pop("host", None),
        part.pop("method", None),
        part.pop("path", None),
        None if status is None else int(status),
        {name: value for name, value in part.items() if value is not None},
    )


def _chomped(text: str) -> str:
    if text.endswith("\n"):
        text = text[:-1]
    return text[:-1] if text.endswith("\r") else text


_S: Final = r"[ \t]+"
_LEVEL: Final = (
    r"(?P<level>TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|ERR|FATAL|CRITICAL|CRIT|SEVERE|ALERT|EMERG(?:ENCY)?|PANIC"
    r"|VERBOSE|FINE|FINER|FINEST|CONFIG)\b"
)
_ANY_LEVEL: Final = _LEVEL.replace("(?P<level>", "(?P<level>(?i:").replace(r")\b", r"))\b")
"""In brackets a level is one in any case."""

_ISO: Final = r"(?P<time>\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)"
_LOGGER: Final = r"(?P<logger>[^\s:\[\]]{1,200})"
_PID: Final = r"(?P<pid>\d{1,10})"
# One level of brackets within: `[QuorumPeer[myid=1]/0:0:0:0]`.
_THREAD: Final = r"\[(?P<thread>[^\[\]\n]{0,200}(?:\[[^\[\]\n]{0,100}\][^\[\]\n]{0,200}){0,3})\]"

_ACCESS: Final = "access"
_ASCII: Final = re.ASCII

# What may stand between an ISO time and the message.
_TAILS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern, _ASCII), name)
    for pattern, name in (
        # INFO [main] org.apache.hadoop.mapred.Task: message
        (rf"(?:{_S}-)?{_S}{_LEVEL}{_S}{_THREAD}{_S}{_LOGGER}(?::[ \t]?|{_S}-{_S})", "log4j"),
        # - INFO  [QuorumPeer[myid=1]/0:0:0:0:0:0:0:0:2181:FastLeaderElection@774] - message
        (
            rf"{_S}-{_S}{_LEVEL}{_S}\[(?P<thread>[^\n]{{0,300}}?):(?P<logger>[^:@\s\[\]]{{1,200}})@(?P<line>\d{{1,7}})\]"
            rf"{_S}-[ \t]?",
            "zookeeper",
        ),
        # 25746 INFO nova.osapi_compute.wsgi.server [req-... - - -] message
        (
            rf"{_S}{_PID}{_S}{_LEVEL}{_S}{_LOGGER}{_S}(?:\[(?P<request>(?:req-|-)[^\[\]\n]{{0,300}})\][ \t]?)?",
            "oslo",
        ),
        # INFO 4711 --- [main] c.e.Application : message
        (rf"{_S}{_LEVEL}{_S}{_PID}{_S}---{_S}{_THREAD}{_S}{_LOGGER}[ \t]*:[ \t]?", "spring"),
        # [main] INFO c.e.Application - message
        (rf"{_S}{_THREAD}{_S}{_LEVEL}{_S}(?P<logger>\S{{1,200}}){_S}-[ \t]?", "logback"),
        # - package.module - INFO - message
        (rf"{_S}-{_S}{_LOGGER}{_S}-{_S}{_LEVEL}{_S}-[ \t]?", "python"),
        # [error] 123#0: message
        (rf"{_S}\[{_ANY_LEVEL}\]{_S}{_PID}#\d{{1,10}}:[ \t]?", "nginx"),
        # UTC [4711] ERROR:  message
        (rf"{_S}(?:UTC|GMT){_S}\[{_PID}\]{_S}(?P<level>[A-Z]{{3,9}}):{_S}", "postgresql"),
        # [INFO] message
        (rf"(?:{_S}-)?{_S}\[[ \t]*{_ANY_LEVEL}[ \t]*\](?:[ \t]*[:|-])?(?:{_S}|$)", "leveled"),
        # INFO a.b.C: message
        (rf"(?:{_S}[|-])?{_S}{_LEVEL}{_S}(?P<logger>[\w$-]{{1,99}}(?:\.[\w$-]{{1,99}}){{1,20}}):(?:{_S}|$)", "leveled"),
        # INFO message, INFO: message, | INFO | message
        (rf"(?:{_S}[|-])?{_S}{_LEVEL}(?:[ \t]*[:|-])?(?:{_S}|$)", "leveled"),
        (rf"(?:{_S}[|-])?{_S}", "timed"),
    )
)

_Shape = tuple[re.Pattern[str], str | None]


def _shape(pattern: str, name: str | None = None) -> _Shape:
    """Without a name, one of `_TAILS` must follow and gives it."""
    return re.compile(pattern, _ASCII), name


_MONTH_DAY_CLOCK: Final = r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})?"

_AFTER_ISO: Final = _shape(_ISO + r"(?=[ \t])")
# [Sun Dec 04 04:47:44 2005] [error] message; 2.4 has module, process and thread too
_APACHE: Final = _shape(
    rf"\[(?P<time>[A-Z][a-z]{{2}} {_MONTH_DAY_CLOCK} \d{{4}})\] "
    r"\[(?:(?P<logger>[\w-]{1,50}):)?(?P<level>\w{1,12})\]"
    rf"(?: \[pid {_PID}(?::tid (?P<thread>\d{{1,20}}))?\])?[ \t]?",
    "apache",
)
# Jun 14 15:16:01 combo sshd(pam_unix)[19939]: message
_SYSLOG: Final = _shape(
    rf"(?:<(?P<priority>\d{{1,3}})>)?(?P<time>{_MONTH_DAY_CLOCK}) (?P<host>\S{{1,255}}) "
    rf"(?:(?P<logger>[^\s\[\]:]{{1,100}})(?:\[{_PID}\])?:(?: |$))?",
    "syslog",
)
# <34>1 2003-10-11T22:14:15.003Z host app 4711 ID47 [x@1 a="b"] message
_SYSLOG_5424: Final = _shape(
    rf"<(?P<priority>\d{{1,3}})>1 {_ISO} (?P<host>\S{{1,255}}) (?P<logger>\S{{1,48}}) (?:{_PID}|\S{{1,128}})"
    r" (?P<msgid>\S{1,32}) (?P<structured>-|(?:\[[^\]\n]{0,500}\]){1,10})(?: |$)",
    "syslog",
)
# 081109 203615 148 INFO dfs.DataNode$PacketResponder: message
_HDFS: Final = _shape(rf"(?P<time>\d{{6}} \d{{6}}) {_PID} {_LEVEL} {_LOGGER}:[ \t]?", "hdfs")
# 17/06/09 20:10:40 INFO executor.CoarseGrainedExecutorBackend: message
_SPARK: Final = _shape(rf"(?P<time>\d\d/\d\d/\d\d \d\d:\d\d:\d\d) {_LEVEL}{_S}{_LOGGER}:[ \t]?", "spark")
_AFTER_EPOCH: Final = _shape(r"(?P<time>\d{10}(?:\.\d{1,9})?|\d{13})(?=[ \t])")
# 10.0.0.1 - - [04/Dec/2005:04:47:44 +0000] "GET / HTTP/1.1" 200 1234
_ACCESS_LOG: Final = _shape(
    r"\S{1,100} \S{1,100} \S{1,100} \[(?P<time>[^\]\s]{20} [+-]\d{4})\] "
    r'"(?P<method>[A-Z]{3,10}) (?P<path>[^\s"]{1,4000})(?: [^"\s]{1,20})?" (?P<status>\d{3})(?=[ \t]|$)',
    _ACCESS,
)
# nova-api.log.1.2017-05-16_13:53:08 2017-05-16 00:00:00.008 ... (merged files, as grep or tail show them)
_FILE_THEN_ISO: Final = _shape(rf"(?P<file>[\w./-]{{1,150}}\.log[\w.:-]{{0,60}}) {_ISO}(?=[ \t])")
_BRACKETED_ISO: Final = _shape(rf"\[{_ISO}\](?=[ \t])")
_BRACKETED_LEVEL: Final = _shape(rf"\[[ \t]*{_ANY_LEVEL}[ \t]*\](?:[ \t]*[:-])?(?:{_S}|$)", "leveled")
# INFO:package.module:message (Python's logging.BASIC_FORMAT)
_LEVEL_LOGGER: Final = _shape(rf"{_LEVEL}:(?P<logger>[\w.-]{{1,200}}):", "python")
_LEVEL_FIRST: Final = _shape(rf"{_LEVEL}(?:{_S}|:{_S})(?:{_THREAD}{_S})?", "leveled")

_DIGIT_SHAPES: Final = (_AFTER_ISO, _HDFS, _SPARK, _AFTER_EPOCH, _ACCESS_LOG)
_BRACKET_SHAPES: Final = (_APACHE, _BRACKETED_ISO, _BRACKETED_LEVEL)
_OTHER_SHAPES: Final = (_SYSLOG, _LEVEL_LOGGER, _LEVEL_FIRST, _FILE_THEN_ISO, _ACCESS_LOG)

# By the first character, so that a line meets only patterns that may fit it.
_SHAPES: Final[dict[str, tuple[_Shape, ...]]] = {
    **dict.fromkeys("0123456789", _DIGIT_SHAPES),
    "[": _BRACKET_SHAPES,
    "<": (_SYSLOG_5424, _SYSLOG),
    "": (),
}
