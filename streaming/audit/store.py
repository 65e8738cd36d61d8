"""Keeps the documents of audits: a local file first, which needs no server, then an index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import msgspec

from streaming import decoding
from streaming.audit.findings import Audit
from streaming.elastic.documents import DocumentKind, Documents
from streaming.elastic.mapping import Object
from streaming.errors import VigilError
from streaming.events.model import Json
from streaming.files import write_whole
from streaming.settings import Settings

AUDITS = DocumentKind(
    "audits",
    {
        "kind": {"type": "keyword"},
        "at": {"type": "date"},
        "verdict": {"type": "keyword"},
        "findings": {
            "properties": {
                "problem": {"type": "keyword"},
                "subject": {"type": "keyword", "ignore_above": 1024},
                "service": {"type": "keyword", "ignore_above": 1024},
                "severity": {"type": "keyword"},
                "incident_id": {"type": "keyword"},
            }
        },
        "pipeline": {
            "properties": {
                "verify_verdict": {"type": "keyword"},
                "lost_events": {"type": "long"},
                "records": {"type": "long"},
                "log_to_document": {"properties": {"p50_ms": {"type": "long"}, "p99_ms": {"type": "long"}}},
                "log_to_alert": {"properties": {"p50_ms": {"type": "long"}, "p99_ms": {"type": "long"}}},
            }
        },
    },
)
"""Index `vigil-audits-YYYY.MM`, by the month (UTC) in which the audit began."""

KEPT_DAYS = 14
"""Of local files: what an outage of two weeks leaves is brought to the index at its end. 300 a day, a few KB each."""

PENDING_AT_ONCE = 500
"""Files of before that are brought to the index with the next one."""

READ_AT_MOST = 100


def folder(settings: Settings) -> Path:
    """Where audits lie: a folder for each kind, and `pending`, where those are that the index does not have."""
    return settings.home / "audits"


def keep(settings: Settings, audit: Audit) -> Path:
    """Writes the local file, and removes those that are too old; returns where it is.

    Raises:
        ConfigError: it cannot be written.
    """
    file = folder(settings) / "pending" / f"{audit.kind}-{audit.at.replace(':', '')}.json"
    write_whole(file, msgspec.json.encode(audit) + b"\n")
    for old in _older_than(folder(settings), datetime.now(UTC) - timedelta(days=KEPT_DAYS)):
        with suppress(OSError):
            old.unlink()
    return file


def index_pending(settings: Settings) -> int:
    """Brings the files that the index does not have yet to it, the eldest first; how many.

    Raises:
        Unavailable, Refused: Elasticsearch does not answer, or will not. What is not there stays pending.
    """
    files = sorted((folder(settings) / "pending").glob("*.json"), key=lambda f: f.name.split("-", 1)[-1])
    done = 0
    with Documents(settings, AUDITS) as documents:
        for file in files[:PENDING_AT_ONCE]:
            content = file.read_bytes()
            try:
                audit = decoding.decode(content, Audit)
            except msgspec.MsgspecError:
                file.rename(file.with_suffix(".unreadable"))
                continue
            documents.put(f"{audit.kind}-{audit.at_ms}", msgspec.Raw(content.strip()), audit.at[:7].replace("-", "."))
            place = folder(settings) / audit.kind
            place.mkdir(exist_ok=True)
            file.replace(place / file.name)
            done += 1
    return done


def latest(settings: Settings, kind: str, limit: int = 1) -> list[Audit]:
    """The latest audits of a kind by their local files, the newest first; those that cannot be read are passed over."""
    files = [*(folder(settings) / kind).glob("*.json"), *(folder(settings) / "pending").glob(f"{kind}-*.json")]
    found = []
    for file in sorted(files, key=lambda f: f.name, reverse=True)[: min(limit, READ_AT_MOST)]:
        with suppress(OSError, msgspec.MsgspecError):
            found.append(decoding.decode(file.read_bytes(), Audit))
    return found


def stored_between(settings: Settings, kind: str, from_ms: int, to_ms: int) -> list[Audit]:
    """Audits of a kind that began within these times (milliseconds since the epoch, the second not included) as the
    index has them, the eldest first; at most 10,000.

    Raises:
        Unavailable, Refused: Elasticsearch does not answer, or will not.
    """
    between: Object = {"range": {"at": {"gte": from_ms, "lt": to_ms, "format": "epoch_millis"}}}
    with Documents(settings, AUDITS) as documents:
        found = documents.search(
            {
                "size": 10_000,
                "query": {"bool": {"filter": [cast(Json, {"term": {"kind": kind}}), between]}},
                "sort": [{"at": "asc"}],
            }
        )
    audits = []
    for one in found:
        with suppress(msgspec.MsgspecError, VigilError):
            audits.append(decoding.decode(one, Audit))
    return audits


def _older_than(place: Path, moment: datetime) -> Iterator[Path]:
    """Files whose name says an earlier day; by name, since a file may have been copied."""
    limit = f"{moment:%Y-%m-%d}"
    for file in place.glob("*/*.json"):
        _, _, at = file.name.partition("-")
        if at[:10] < limit:
            yield file
