"""What is sent for a line of a file: the object that it is, or its text with its service and place."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from pathlib import Path

from streaming.events import lines
from streaming.events.model import LogEvent, Unreadable
from streaming.events.parse import parse
from streaming.replay.files import STDIN, Line

MAX_DEPTH = 200
"""As deep as the event parser reads JSON; msgpack has limits of its own, from 511 on."""

Record = dict[str, object]


@dataclass(frozen=True)
class Source:
    """One file, and whom its plain lines are said to come from."""

    path: Path
    service: str
    node_id: str
    json_lines: bool = True
    """Whether a line that is a JSON object is sent as that object."""


def source_of(path: Path, *, service: str | None = None, node_id: str | None = None, json_lines: bool = True) -> Source:
    """A file with the service its name tells: up to the first `_` or `.`, in lower case (Apache_2k.log: apache).

    Of standard input there is no name to tell it: `stdin`.
    """
    told = "stdin" if path == STDIN else re.split(r"[_.]", path.name, maxsplit=1)[0].lower()
    name = service or told or "replay"
    return Source(path, name, node_id or f"replay-{name}", json_lines)


def record_of(line: Line, source: Source) -> Record:
    """What is sent for a line. Text that is not UTF-8 goes as bytes, so that none is lost."""
    if source.json_lines and line.text.lstrip()[:1] == b"{":
        found = json_object(line.text)
        if found is not None:
            return found
    try:
        message: str | bytes = line.text.decode("utf-8")
    except UnicodeDecodeError:
        message = line.text
    return {
        "message": message,
        "service_name": source.service,
        "node_id": source.node_id,
        "log.file.path": source.path.name,
        "log.offset": line.offset,
    }


def time_of(line: Line, source: Source, received_ns: int) -> int | None:
    """The line's own time in nanoseconds, as the indexer will read it; None if it says none.

    `received_ns` dates times without a year.
    """
    if source.json_lines:
        event = parse(line.text, received_ns=received_ns)
        if isinstance(event, LogEvent):
            return event.timestamp_ns if event.time_source == "event" else None
        if isinstance(event, Unreadable) or event.timestamp_ns == received_ns:
            return None
        return event.timestamp_ns
    return lines.split(line.text.decode("utf-8", "replace"), received_ns).timestamp_ns


def json_object(text: bytes) -> Record | None:
    """The object in a line of JSON; None where it is none, or where msgpack could not carry it unchanged.

    Those are repeated keys, integers beyond 64 bits, numbers that a double does not hold exactly as written, lone
    surrogates, and what is nested more than `MAX_DEPTH` deep: such a line is sent as text.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_unique, parse_int=_int64, parse_float=_double, parse_constant=_refuse
        )
        if text.count(b"{") + text.count(b"[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
            return None
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or (b"\\u" in text and _has_surrogates(value)):
        return None
    return value


def _unique(pairs: list[tuple[str, object]]) -> Record:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _int64(digits: str) -> int:
    value = int(digits)
    if not -(2**63) <= value < 2**64:
        raise ValueError("beyond 64 bits")
    return value


def _double(digits: str) -> float:
    value = float(digits)
    if not isfinite(value) or Decimal(repr(value)) != Decimal(digits):
        raise ValueError("not a double")
    return value


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is not JSON")


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _has_surrogates(value: object) -> bool:
    """Whether some text in it cannot be UTF-8 (JSON may write half a surrogate pair as an escape)."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
