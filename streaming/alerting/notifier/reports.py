"""What a lane tells the notifier, whose thread does the rest."""

from __future__ import annotations

from dataclasses import dataclass

from streaming.alerting.messages import Attempt
from streaming.alerting.notifier.outbox import Item
from streaming.kafka.offsets import Span


@dataclass(frozen=True)
class Settled:
    """This receiver has what these records were to tell it, for good."""

    spans: list[Span]


@dataclass(frozen=True)
class HandedOver:
    """This receiver fails for long: others are to be told."""

    receiver: str
    items: list[Item]
    stays: bool
    """The items stay in the lane, too: people must see there that it is over."""


@dataclass(frozen=True)
class Fell:
    """The receiver has begun to fail for long."""

    receiver: str
    reason: str


@dataclass(frozen=True)
class Rose:
    """The receiver delivered, for the first time since it fell, or at all."""

    receiver: str


@dataclass(frozen=True)
class Left:
    """Nothing waits any more for a receiver that was taken out of the rules."""

    receiver: str


@dataclass(frozen=True)
class Tried:
    """What the receiver made of one attempt, for the history."""

    attempt: Attempt


Report = Tried | Settled | HandedOver | Fell | Rose | Left
