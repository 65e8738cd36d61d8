"""The file of a backup: JSON lines, compressed with zstd. A head, the records, and a foot without which it is torn.

    {"kind": "head", "version": 1, "made": "...", "topics": [...]}
    {"kind": "record", "topic": "rule-sets", "partition": 0, "key": "base64", "value": "base64", "headers": [...]}
    {"kind": "foot", "records": 1, "sha256": "of all lines before"}

Topics carry their names in the catalogue, without an installation's prefix. `zstd -dc FILE` shows it.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard

from streaming import decoding
from streaming.errors import ConfigError

VERSION = 1
_REMEDY = "Name a file that `vigil backup` wrote"
LINE_LIMIT = 64 * 1024 * 1024
"""The longest line: a dead letter of 8 MiB is 11 MiB of base64."""


class Head(msgspec.Struct, tag_field="kind", tag="head"):
    """First line."""

    version: int
    made: str
    topics: list[str]


class Entry(msgspec.Struct, tag_field="kind", tag="record"):
    """One record of a topic. `key` and `value` are None where Kafka has none."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] = []


class Foot(msgspec.Struct, tag_field="kind", tag="foot"):
    """Last line: how many records there are, and the digest of all lines before."""

    records: int
    sha256: str


_decoder = decoding.decoder(Head | Entry | Foot)


class Writer:
    """Writes a backup beside its final name, and gives it that name when it is whole (`close`)."""

    def __init__(self, path: Path, head: Head) -> None:
        """Raises ConfigError if the file cannot be made. It is readable by its owner alone: it holds log lines."""
        self._path, self._temporary = path, path.with_name(f"{path.name}.part")
        try:
            file = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise ConfigError(f"cannot be written: {error.strerror}", file=path, remedy="Name another file") from error
        self._file = os.fdopen(file, "wb")
        self._out = zstandard.ZstdCompressor(level=3).stream_writer(self._file, closefd=False)
        self._digest = hashlib.sha256()
        self.counts: Counter[str] = Counter()
        self._line(head)

    def add(self, entry: Entry) -> None:
        """One record."""
        self._line(entry)
        self.counts[entry.topic] += 1

    def close(self) -> None:
        """Writes the foot; the file is durable and has its name when this returns."""
        foot = Foot(self.counts.total(), self._digest.hexdigest())
        self._out.write(msgspec.json.encode(foot) + b"\n")
        self._out.close()  # type: ignore[no-untyped-call]
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._temporary.replace(self._path)

    def abandon(self) -> None:
        """Leaves nothing behind."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _line(self, item: Head | Entry) -> None:
        line = msgspec.json.encode(item) + b"\n"
        self._digest.update(line)
        self._out.write(line)


def read(path: Path) -> Iterator[Head | Entry]:
    """The head, then every record. Read it to its end before anything is done with it: only the foot shows it whole.

    Raises:
        ConfigError: no backup, of a later version, or torn or changed; names the line.
    """
    try:
        with path.open("rb") as file:
            yield from _items(file, path)
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", file=path, remedy="Name a file of `vigil backup`"
        ) from error


def _items(file: BinaryIO, path: Path) -> Iterator[Head | Entry]:
    digest, records = hashlib.sha256(), 0
    number = 0
    for number, line in enumerate(_lines(file, path), 1):
        try:
            item = _decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(f"is no backup: {error}", file=path, line=number) from error
        if (number == 1) != isinstance(item, Head):
            raise ConfigError("is no backup: its head is not where it should be", file=path, line=number)
        if isinstance(item, Head) and item.version != VERSION:
            raise ConfigError(f"is of version {item.version}, this Vigil reads {VERSION}", file=path)
        if isinstance(item, Foot):
            if (item.records, item.sha256) != (records, digest.hexdigest()):
                raise ConfigError("was changed since it was made: its sum does not fit", file=path, line=number)
            return
        digest.update(line)
        records += isinstance(item, Entry)
        yield item
    raise ConfigError("is torn: its end is missing", file=path, line=number)


def _lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    rest = b""
    try:
        with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as source:
            while piece := source.read(1024 * 1024):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    yield line + b"\n"
                if len(rest) > LINE_LIMIT:
                    raise ConfigError(f"is no backup: a line of more than {LINE_LIMIT} bytes", file=path)
    except zstandard.ZstdError as error:
        raise ConfigError(f"is no backup: {error}", file=path, remedy=_REMEDY) from error
