"""Chunks of which Kafka has refused records: kept until nothing of them is refused any more. No I/O."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from confluent_kafka import KafkaError

from streaming.accumulator.configuration.plan import Buffer
from streaming.accumulator.delivery import retries
from streaming.accumulator.delivery.flight import Flight
from streaming.accumulator.delivery.outgoing import TOO_LARGE, Again, Converter, Piece, Step

HELD_BYTES = 32 * 1024 * 1024
HELD_CHUNKS = 20_000
"""Chunks with a refused record are kept in memory until they are settled, and what was delivered behind them is
remembered. Past either limit the oldest refused records are given up before their time."""


@dataclass
class Refusal:
    """How a piece has fared: when it was first refused, how often, the last error, and whether it was alone then."""

    first_at: float
    count: int = 0
    error: KafkaError = field(default_factory=lambda: KafkaError(KafkaError._FAIL))
    alone: bool = False


class Refused:
    """The flights, by sequence. Each waits for its next attempt (`next_due`), or is in one.

    `clock`: seconds, monotonic. It holds `HELD_BYTES` of chunks; `take_due` gives up what is beyond.
    """

    def __init__(self, converter: Converter, clock: Callable[[], float]) -> None:
        self._converter, self._clock = converter, clock
        self._held: dict[int, Flight] = {}
        self._bytes = 0
        self._refusals: dict[int, dict[Piece, Refusal]] = {}
        self._waiting: set[int] = set()
        self._due: list[tuple[float, int]] = []
        """A heap: when what was refused of a sequence is tried again."""

    def __bool__(self) -> bool:
        return bool(self._held)

    def __contains__(self, sequence: object) -> bool:
        return sequence in self._held

    @property
    def in_an_attempt(self) -> bool:
        """Kafka has yet to answer to some of them."""
        return len(self._held) > len(self._waiting)

    @property
    def next_due(self) -> float:
        """By the clock; infinite where nothing waits."""
        return self._due[0][0] if self._due else math.inf

    def answered(self) -> list[Flight]:
        """Those in an attempt to which Kafka has answered."""
        if not self.in_an_attempt:
            return []
        return [flight for s, flight in self._held.items() if s not in self._waiting and flight.landed]

    def note(self, flight: Flight) -> list[tuple[str, KafkaError]]:
        """Takes in what came back of a chunk, and says when it is tried again. Returns topics and errors to be told:
        of all but what is too large, which an attempt alone or a dead letter will mend."""
        sequence, now, wait = flight.chunk.sequence, self._clock(), 0.0
        known = self._refusals.get(sequence, {})
        states: dict[Piece, Refusal] = {}
        told: list[tuple[str, KafkaError]] = []
        for piece, error in flight.take_refused().items():
            flight.topics[self._converter.dead_letters if piece.letter else piece.topic] -= 1
            state = states[piece] = known.get(piece) or Refusal(now)
            state.count += 1
            state.error = error
            if error.code() in retries.SIZE:
                continue
            told.append((piece.topic, error))
            # What was refused with others of its batch is tried at once alone: perhaps it was not meant.
            if state.alone:
                wait = max(wait, retries.wait_s(self._buffer(piece), state.count, random.random()))  # noqa: S311 - spreads load
        self._refusals[sequence] = states
        self._waiting.add(sequence)
        heapq.heappush(self._due, (now + wait, sequence))
        if sequence not in self._held:
            self._held[sequence] = flight
            self._bytes += flight.chunk.size
        return told

    def take_due(self, behind: int) -> tuple[Flight, dict[Piece, Again]] | None:
        """One whose turn it is, with what is to be done with its pieces; None where none is due. `behind`: chunks that
        are remembered for its sake."""
        if not self._waiting:
            return None
        crowded = self._bytes > HELD_BYTES or behind > HELD_CHUNKS
        while crowded or self.next_due <= self._clock():
            sequence = next(s for s in self._held if s in self._waiting) if crowded else heapq.heappop(self._due)[1]
            if sequence in self._waiting:  # else its turn came early, when too much was held
                self._waiting.discard(sequence)
                refusals = self._refusals[sequence].items()
                return self._held[sequence], {piece: self._step(piece, refusal, crowded) for piece, refusal in refusals}
        return None

    def goes_alone(self, sequence: int, piece: Piece) -> None:
        """From now on this piece has a batch of its own, so that a refusal is of it."""
        self._refusals[sequence].setdefault(piece, Refusal(self._clock())).alone = True

    def release(self, flight: Flight) -> None:
        """Nothing of it is refused any more."""
        if self._held.pop(flight.chunk.sequence, None):
            self._bytes -= flight.chunk.size
            del self._refusals[flight.chunk.sequence]

    def clear(self) -> None:
        """Forgets all; the spool has them."""
        self._held.clear()
        self._refusals.clear()
        self._waiting.clear()
        self._due.clear()
        self._bytes = 0

    def _step(self, piece: Piece, refusal: Refusal, crowded: bool) -> Again:
        error = refusal.error
        too_large = error.code() in retries.SIZE
        reason = TOO_LARGE if too_large else f"refused:{error.name()}"
        output = self._converter.output(piece.topic)
        given_up = (too_large and refusal.alone) or retries.is_given_up(
            self._buffer(piece),
            refusal.count,
            self._clock() - refusal.first_at,
            has_secondary=bool(output and output.secondary),
        )
        if not given_up and not crowded:
            return Again(Step.AGAIN, reason)
        return Again(Step.FILE if piece.letter else Step.LETTER, reason)

    def _buffer(self, piece: Piece) -> Buffer:
        output = self._converter.output(piece.topic)
        return output.buffer if output else Buffer()
