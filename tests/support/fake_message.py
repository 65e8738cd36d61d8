"""A stand-in for a consumed record: librdkafka's own cannot be made by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from confluent_kafka import Message

APPENDED_MS = 1_795_500_000_000
"""2026-11-24T06:00:00Z"""


@dataclass
class _FakeMessage:
    """What is asked of a record."""

    _value: bytes
    _headers: list[tuple[str, bytes]] = field(default_factory=list)
    _topic: str = "dead-letters"
    _partition: int = 0
    _offset: int = 7
    _key: bytes | None = b"node-1"
    _appended_ms: int = APPENDED_MS

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes | None:
        return self._key

    def value(self) -> bytes:
        return self._value

    def headers(self) -> list[tuple[str, bytes]]:
        return self._headers

    def error(self) -> None:
        return None

    def timestamp(self) -> tuple[int, int]:
        return (2, self._appended_ms)


def fake_message(
    value: bytes,
    headers: list[tuple[str, bytes]] | None = None,
    *,
    topic: str = "dead-letters",
    partition: int = 0,
    offset: int = 7,
    key: bytes | None = b"node-1",
    appended_ms: int = APPENDED_MS,
) -> Message:
    """A record as `Consumer.poll` gives it."""
    return cast(Message, _FakeMessage(value, headers or [], topic, partition, offset, key, appended_ms))
