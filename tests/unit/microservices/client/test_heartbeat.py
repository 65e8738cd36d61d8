from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from microservices.client.heartbeat import Heart
from microservices.client.identity import Identity
from microservices.client.shipper import Link
from streaming.forward.sender import ForwardError


class Line:
    """A sender that can be away."""

    def __init__(self) -> None:
        self.up = True
        self.sent: list[tuple[str, dict[str, object]]] = []
        self.chunk_ids: list[str | None] = []
        self.tried: list[tuple[str | None, list[tuple[int, dict[str, object]]]]] = []

    def send(
        self, tag: str, entries: Sequence[tuple[int, Mapping[str, object]]], *, chunk_id: str | None = None
    ) -> None:
        self.chunk_ids.append(chunk_id)
        self.tried.append((chunk_id, [(time_ns, dict(record)) for time_ns, record in entries]))
        if not self.up:
            raise ForwardError("away")
        self.sent += [(tag, dict(record)) for _, record in entries]

    def close(self) -> None:
        self.up = False


def heart(line: Line, said: list[str] | None = None, **more: object) -> Heart:
    link = Link("beats are not delivered", (said if said is not None else []).append, lambda: 0.0)
    return Heart(Identity("order", "order-1"), line, clock=lambda: 10**18, link=link, **more)  # type: ignore[arg-type]


def test_it_registers_and_beats_and_says_when_it_ends() -> None:
    line = Line()
    beating = heart(line)
    beating.beat()
    beating.beat()
    beating.close()
    assert [tag for tag, _ in line.sent] == ["registrations.order", *["heartbeats.order"] * 3]
    registration, *beats = [record for _, record in line.sent]
    instance = registration["instance_id"]
    assert registration == {
        "node_id": "order-1",
        "message_type": "REGISTRATION",
        "service_name": "order",
        "timestamp": "2001-09-09T01:46:40.000000Z",
        "instance_id": instance,
    }
    assert [(b["seq"], b["status"], b["instance_id"]) for b in beats] == [
        (1, "UP", instance),
        (2, "UP", instance),
        (3, "DOWN", instance),
    ]


def test_a_registration_is_owed_until_acknowledged_and_keeps_its_chunk_id() -> None:
    line, said = Line(), list[str]()
    line.up = False
    beating = heart(line, said)
    beating.beat()
    beating.beat()
    line.up = True
    beating.beat()
    assert [record["message_type"] for _, record in line.sent] == ["REGISTRATION", "HEARTBEAT"]
    assert len(set(line.chunk_ids[:3])) == 1
    assert said == [
        "vigil: away; beats are not delivered",
        "vigil: the accumulator is back after 0.0 s",
    ], "once per change"


def test_a_registration_sent_again_is_the_same_to_the_byte() -> None:
    line, clock = Line(), itertools.count(10**18, 10**9)
    beating = Heart(Identity("order", "order-1"), line, clock=lambda: next(clock))
    line.up = False
    beating.beat()
    beating.beat()
    assert line.tried[0] == line.tried[1]


def test_a_service_that_hangs_does_not_beat() -> None:
    line, alive = Line(), [True, False, True]
    beating = heart(line, alive=lambda: alive.pop(0))
    for _ in range(3):
        beating.beat()
    assert [record.get("seq") for _, record in line.sent] == [None, 1, 2]


def test_it_ends_once() -> None:
    line = Line()
    beating = heart(line)
    beating.close()
    beating.close()
    assert [record["status"] for _, record in line.sent] == ["DOWN"]
