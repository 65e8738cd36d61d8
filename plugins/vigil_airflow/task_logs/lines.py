"""What a task's log file is called, and the documents that its lines become. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

LINE_LIMIT = 256 * 1024
"""Bytes of a line that are kept; Elasticsearch takes requests of up to 100 MB, and nobody reads longer lines."""

MESSAGE_LIMIT = 32 * 1024
"""Characters of a message that are indexed as text."""

_NAME = re.compile(
    r"(?P<log>(?:dag_id=(?P<dag_id>[^/]+)/run_id=(?P<run_id>[^/]+)/task_id=(?P<task_id>[^/]+)/)?"
    r"(?:map_index=(?P<map_index>\d+)/)?(?:[^/]+/)*?(?:attempt=(?P<try_number>\d+)|[^/]+?))\.log(?P<rest>\..+)?"
)


@dataclass(frozen=True)
class LogName:
    """A log file of Airflow, by its path below the log folder.

    `log_id` is the same for the file of the worker and those of triggers (`.trigger.N.log`), which belong together;
    `part` tells them apart.
    """

    log_id: str
    part: str = "worker"
    fields: dict[str, str | int] = field(default_factory=dict)

    @classmethod
    def of(cls, path: str) -> LogName:
        """From a relative path, by Airflow's default template of names; of others, the path alone is known."""
        found = _NAME.fullmatch(path)
        if found is None:
            return cls(path)
        names = {name: found[name] for name in ("dag_id", "run_id", "task_id")}
        numbers = {name: int(found[name]) for name in ("map_index", "try_number") if found[name] is not None}
        part = (found["rest"] or "").removeprefix(".").removesuffix(".log") or "worker"
        return cls(found["log"], part, {**{name: value for name, value in names.items() if value}, **numbers})


@dataclass(frozen=True)
class LineDocument:
    """A document as JSON, its id, the month (`2026.11`, UTC) of the index that it belongs to, and which line of its
    file it is, from 1."""

    document_id: str
    month: str
    offset: int
    body: bytes


def documents(name: LogName, lines: Iterable[bytes], file_time: datetime, after: int = 0) -> Iterator[LineDocument]:
    """The documents of a file's lines, of those behind line `after`. The same file gives the same documents: id and
    index follow from what a line is, where it stands and when it was written.

    A line that bears no time has that of the one before it, the first `file_time`.
    """
    before = file_time
    for offset, line in enumerate(lines, 1):
        text = line.rstrip(b"\r\n")[:LINE_LIMIT].decode("utf-8", "replace")
        if offset <= after or not text.strip():
            continue
        event = _event(text)
        before = at = _time(event.get("timestamp")) or before
        body = {
            "@timestamp": at.isoformat(),
            "log_id": name.log_id,
            "part": name.part,
            "offset": offset,
            "message": str(event.get("event") or text)[:MESSAGE_LIMIT],
            "level": str(event.get("level") or "info")[:32],
            "logger": str(event.get("logger") or "")[:256],
            **name.fields,
            "line": text,
        }
        yield LineDocument(_id(name, offset, text), f"{at:%Y.%m}", offset, msgspec.json.encode(body))


def _id(name: LogName, offset: int, text: str) -> str:
    """Of the content too: a triggerer that is asked again begins the same file anew."""
    found = hashlib.blake2b(f"{name.log_id}\0{name.part}\0{offset}\0{text}".encode("utf-8", "replace"), digest_size=15)
    return base64.urlsafe_b64encode(found.digest()).decode()


def _event(text: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _time(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    # Elasticsearch reads years of four digits.
    if found is None or not 1970 <= found.year <= 2200:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
