"""Brings the events of a secondary file back to Kafka, as a client and not as an accumulator."""

from __future__ import annotations

import os
from pathlib import Path

from streaming.accumulator.delivery import secondary
from streaming.dead_letters import REASON, TOPIC, WORKER
from streaming.events import coordinates
from streaming.events.coordinates import Replay
from streaming.kafka import clients
from streaming.kafka.delivery import Delivery, Headers
from streaming.kafka.topics import DEAD_LETTERS, MIB
from streaming.settings import Settings

BATCH = 1_000


def replay_file(settings: Settings, file: Path, topic: str = "") -> int:
    """Returns how many events are in Kafka: all that the file holds.

    An event without a topic of its own (it had no route, or could not be read) goes to the dead letters. A replay
    header lets matchers take what lies before their marks.

    Raises:
        ConfigError: a line of the file is none; nothing behind it is sent.
        Unavailable: Kafka does not take one, or does not answer. What was sent before is there, and is recognised
            when the file is replayed again.
    """
    out = Delivery(clients.producer(settings.kafka, message_max_bytes=8 * MIB))
    replay_id = f"secondary-{os.urandom(6).hex()}"
    done = 0
    for kept in secondary.read(file):
        done += 1
        headers: Headers = [(coordinates.HEADER, kept.coordinates.encode())]
        target = topic or kept.topic
        if target:
            headers.append((coordinates.REPLAY_HEADER, coordinates.encode_replay(Replay(replay_id, done))))
        else:
            target = settings.topic(DEAD_LETTERS)
            headers += [(REASON, kept.reason.encode()), (WORKER, b"secondary"), (TOPIC, b"")]
        out.send(target, kept.raw, key=kept.key, headers=headers)
        if done % BATCH == 0:
            out.settle()
    out.settle()
    return done
