"""One syslog message as a record: RFC 5424, and RFC 3164 as programs write it. Pure; any bytes give a record.

Keys are those of Fluentd's syslog parser (`pri`, `time`, `host`, `ident`, `pid`, `msgid`, `message`), `structured_data`
as a map of maps, and `node_id`, by which Kafka keeps a host's messages in order. What a message does not say (RFC
5424's `-`) has no key. What cannot be read as the format demands stays as it came in `message`.

- Without a priority the tag is that of user.notice (RFC 3164, 4.3.3), and no `pri` is made up.
- A time without year or zone is read by the rules of streaming/events/times.py, from the receive time on. Its text
  stays in `time`.
- RFC 3164: a program's name ends with a colon or has a process id behind it; the first word of `last message repeated
  2 times` is no program. A host may be missing. Without a time too (Python's SysLogHandler), a program is one only with
  its process id: `<11>error: no disk` has none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

from streaming.events.model import Json
from streaming.events.times import time_of

Format = Literal["rfc3164", "rfc5424", "auto"]

FACILITIES: Final = (
    *"kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp audit alert at".split(),  # noqa: SIM905
    *(f"local{number}" for number in range(8)),
)
SEVERITIES: Final = "emerg alert crit err warn notice info debug".split()  # noqa: SIM905
"""By Fluentd's names, of which tags are made."""
_USER_NOTICE: Final = 13
_MAX_PRIORITY: Final = 191


@dataclass(frozen=True)
class Message:
    """`priority` stands in for the one that `record["pri"]` does not have. `time_ns` is 0 where it says none."""

    priority: int
    time_ns: int
    record: dict[str, Json] = field(default_factory=dict)

    @property
    def facility(self) -> str:
        """As Fluentd calls it."""
        return FACILITIES[self.priority >> 3]

    @property
    def severity(self) -> str:
        """As Fluentd calls it."""
        return SEVERITIES[self.priority & 7]


def parse(raw: bytes, message_format: Format, *, received_ns: int, peer: str) -> Message:
    """The message that `raw` holds, without what ended its frame. `peer` is the sender's address."""
    text = raw.rstrip(b"\r\n\0").decode("utf-8", "surrogateescape")
    found = _PRI.match(text)
    priority = int(found[1]) if found else _USER_NOTICE
    start = found.end() if found else 0
    record: dict[str, Json] = {}
    if priority > _MAX_PRIORITY:
        priority, start = _USER_NOTICE, 0
    elif found:
        record["pri"] = priority
    version = _VERSION.match(text, start) if start else None
    if message_format == "rfc5424" or (message_format == "auto" and version):
        time_ns = _read_5424(text, version.end() if version else None, start, record, received_ns)
    else:
        time_ns = _read_3164(text, start, record, received_ns)
    record["node_id"] = record.get("host") or peer
    return Message(priority, time_ns, record)


def is_blank(raw: bytes) -> bool:
    """Whether nothing is left without what ends a frame."""
    return not raw.strip(b"\r\n\0")


def continuation(raw: bytes, first: Message) -> Message:
    """A further piece of a message that was too long for one: what its first piece says of the sender, and its text."""
    said = {key: value for key, value in first.record.items() if key not in _OF_THE_TEXT}
    text = raw.rstrip(b"\r\n\0").decode("utf-8", "surrogateescape")
    return Message(first.priority, first.time_ns, said | {"message": text, "continued": True})


_OF_THE_TEXT: Final = frozenset(("message", "structured_data", "extradata"))
_PRI: Final = re.compile(r"<(\d{1,3})>", re.ASCII)


# RFC 5424

_VERSION: Final = re.compile(r"([1-9]\d{0,2}) ", re.ASCII)
_HEADER: Final = re.compile(
    r"(?P<time>\S{1,64}) (?P<host>\S{1,255}) (?P<ident>\S{1,255}) (?P<pid>\S{1,255}) (?P<msgid>\S{1,255}) ", re.ASCII
)
_NIL: Final = "-"
_BOM: Final = "\ufeff"
_ELEMENT: Final = re.compile(r'\[([^\s="\]]{1,255})', re.ASCII)
_PARAMETER: Final = re.compile(r' ([^\s="\]]{1,255})="((?:[^"\\]|\\.)*)"', re.ASCII | re.DOTALL)
_ESCAPED: Final = re.compile(r'\\(["\\\]])')


def _read_5424(text: str, after_version: int | None, start: int, record: dict[str, Json], received_ns: int) -> int:
    header = None if after_version is None else _HEADER.match(text, after_version)
    if header is None:
        record["message"] = text[start:]
        return 0
    version = text[start : (after_version or 0) - 1]
    if version != "1":
        record["version"] = version
    said = {name: value for name, value in header.groupdict().items() if value != _NIL}
    record.update(said)
    at = header.end()
    if (end := _structured_data(text, at, record)) is not None:
        at = end
    record["message"] = text[at:].removeprefix(_BOM)
    return time_of(said.get("time"), received_ns=received_ns) or 0


def _structured_data(text: str, at: int, record: dict[str, Json]) -> int | None:
    """Puts the structured data into the record; where the message begins, None if what stands there is none.

    A parameter given more than once is a list. An element given more than once, which RFC 5424 forbids, leaves all of
    it as the text `extradata`, which is Fluentd's name for it.
    """
    start, elements, repeated = at, {}, False
    if text.startswith(_NIL, at):
        at += 1
    else:
        while element := _ELEMENT.match(text, at):
            parameters: dict[str, Json] = {}
            at = element.end()
            while parameter := _PARAMETER.match(text, at):
                _add(parameters, parameter[1], _ESCAPED.sub(r"\1", parameter[2]))
                at = parameter.end()
            if not text.startswith("]", at):
                return None
            at += 1
            repeated |= element[1] in elements
            elements[element[1]] = parameters
        if not elements:
            return None
    if at < len(text) and text[at] != " ":
        return None
    if repeated:
        record["extradata"] = text[start:at]
    elif elements:
        record["structured_data"] = dict(elements)
    return at + 1


def _add(parameters: dict[str, Json], name: str, value: str) -> None:
    known = parameters.get(name)
    if known is None:
        parameters[name] = value
    elif isinstance(known, list):
        known.append(value)
    else:
        parameters[name] = [known, value]


# RFC 3164

_CLOCK: Final = r"\d\d:\d\d:\d\d(?:[.,]\d{1,9})?"
_TIME: Final = re.compile(
    # Oct 11 22:14:15; with a year before, within or behind; or as RFC 3339
    r"(?P<time>"
    rf"(?:(?P<first>\d{{4}}) )?(?P<month>[A-Z][a-z]{{2}}) {{1,2}}(?P<day>\d{{1,2}})(?: (?P<second>\d{{4}}))? "
    rf"(?P<clock>{_CLOCK})(?P<zone> ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
    rf"|\d{{4}}-\d\d-\d\dT{_CLOCK}(?:Z|[+-]\d\d:?\d\d)?"
    r")(?::? |$)",
    re.ASCII,
)
_PROGRAM: Final = re.compile(
    r"(?P<ident>[^\s\[\]:]{1,255})(?:\[(?P<pid>[^\s\[\]]{1,255})\](?::|(?= |$))|:)(?: |$)", re.ASCII
)
_HOST: Final = re.compile(r"(?P<host>\S{1,255})(?: |$)", re.ASCII)


def _read_3164(text: str, start: int, record: dict[str, Json], received_ns: int) -> int:
    found = _TIME.match(text, start)
    time_ns = _time_3164(found, received_ns) if found else 0
    if found is None or not time_ns:
        program = _PROGRAM.match(text, start) if start else None
        if program and program["pid"]:
            record.update(program.groupdict())
            start = program.end()
        record["message"] = text[start:]
        return 0
    record["time"] = found["time"]
    at = found.end()
    program = _PROGRAM.match(text, at)
    if program is None and (host := _HOST.match(text, at)):
        record["host"] = host["host"]
        at = host.end()
        program = _PROGRAM.match(text, at)
    if program:
        record.update({name: value for name, value in program.groupdict().items() if value is not None})
        at = program.end()
    record["message"] = text[at:]
    return time_ns


def _time_3164(found: re.Match[str], received_ns: int) -> int:
    year = found["first"] or found["second"]
    text = found["time"]
    if year:
        text = f"{found['day']} {found['month']} {year} {found['clock']}{found['zone'] or ''}"
    elif found["zone"]:
        return _without_year(found, received_ns)
    return time_of(text, received_ns=received_ns) or 0


def _without_year(found: re.Match[str], received_ns: int) -> int:
    """A zone, but no year: the year that the time would have in UTC, which is wrong at most in New Year's night."""
    utc_ns = time_of(f"{found['month']} {found['day']} {found['clock']}", received_ns=received_ns)
    zoned_ns = time_of(f"01 Jan 2000 00:00:00{found['zone']}")
    if utc_ns is None or zoned_ns is None:
        return 0
    return utc_ns + zoned_ns - _JANUARY_2000_NS


_JANUARY_2000_NS: Final = 946_684_800 * 1_000_000_000
