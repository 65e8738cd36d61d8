"""A stand-in for a consumed record: librdkafka's own cannot be made by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
from confluent_kafka import Message

from streaming.events import coordinates
from streaming.events.coordinates import Coordinates

Headers = list[tuple[str, bytes]]
MakeMessage = Callable[..., Message]


class FakeMessage:
    """What the indexer asks of a record."""

    def __init__(self, value: bytes, partition: int, offset: int, headers: Headers, appended_ms: int) -> None:
        self._value, self._partition, self._offset = value, partition, offset
        self._headers, self._appended_ms = headers, appended_ms

    def topic(self) -> str:
        return "logs"

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return self._value

    def headers(self) -> Headers:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        return (2, self._appended_ms)


@pytest.fixture
def message() -> MakeMessage:
    """`message(value, partition=0, offset=0, received_ns=None)`; without receive time it has no coordinates.

    `header` is the value of the coordinates' header as it stands.
    """

    def make(
        value: bytes, partition: int = 0, offset: int = 0, received_ns: int | None = None, header: bytes | None = None
    ) -> Message:
        headers: Headers = [] if header is None else [(coordinates.HEADER, header)]
        if received_ns is not None:
            at = Coordinates("acc1", "inc0", 7, offset, received_ns, 0, "app")
            headers = [(coordinates.HEADER, coordinates.encode(at))]
        return cast(Message, FakeMessage(value, partition, offset, headers, 1_795_500_000_000))

    return make
