"""Files of `<secondary>`: what Kafka did not take, as JSON lines that `vigil secondary replay` brings back.

A line is one event: the topic that it was meant for, its key, its coordinates as the header that it would have had,
the reason, and its value (`value`, or `base64` where it is no UTF-8 text).
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from streaming import decoding
from streaming.accumulator.delivery.outgoing import ToFile
from streaming.accumulator.spool.disk import sync_folder
from streaming.errors import ConfigError
from streaming.events import coordinates

SUFFIX = ".jsonl"


class Kept(msgspec.Struct, omit_defaults=True):
    """One line."""

    topic: str
    reason: str
    coordinates: str
    key: str | None = None
    value: str | None = None
    base64: str | None = None

    @property
    def raw(self) -> bytes:
        """The event's value. Raises ValueError where it has none that can be read."""
        if self.value is not None:
            return self.value.encode()
        if self.base64 is None:
            raise ValueError("neither value nor base64")
        return b64decode(self.base64, validate=True)


_encode = msgspec.json.Encoder().encode
_decoder = decoding.decoder(Kept)


def write(folder: Path, items: Sequence[ToFile]) -> Path:
    """One file of these events, durable when it returns. Called again for the same ones it writes the same file.

    Raises:
        OSError: not all of it is on the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = coordinates.decode(items[0].header)
    file = folder / f"{place.accumulator}-{place.incarnation}-{place.sequence}-{place.position}{SUFFIX}"
    temporary = file.with_name(file.name + ".tmp")
    with temporary.open("wb") as out:
        out.writelines(_encode(_kept(item)) + b"\n" for item in items)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)
    sync_folder(folder)
    return file


def _kept(item: ToFile) -> Kept:
    kept = Kept(
        item.topic, item.reason, item.header.decode("utf-8", "surrogatepass").encode("utf-8", "replace").decode()
    )
    if item.key is not None:
        kept.key = item.key.decode("utf-8", "replace")
    try:
        kept.value = item.value.decode()
    except UnicodeDecodeError:
        kept.base64 = b64encode(item.value).decode()
    return kept


def read(file: Path) -> Iterator[Kept]:
    """The events of a file, in order.

    Raises:
        ConfigError: names the line that is none.
    """
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                kept = _decoder.decode(line)
                coordinates.decode(kept.coordinates.encode())
                _ = kept.raw
            except ValueError as error:
                raise ConfigError(
                    f"not a line of a secondary file ({error})",
                    file=file,
                    line=number,
                    remedy="Files of <secondary> are replayed as they were written",
                ) from error
            yield kept
