"""Whether nodes died or what carries their beats did: the evidence.

A node's beats come through an accumulator, an accumulator's through Kafka. A silence counts only as far as the
carrier is known to have delivered: an accumulator says in each beat of its own up to what receive time everything is
in Kafka, and that Kafka takes what accumulators send is shown by any other accumulator's beat. So however many nodes
fall silent together, each is DOWN if its accumulator was there to carry its beat, and none is if it was not. No nodes
are counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streaming.heartbeat.messages import NodeRecord

GAP_MS = 3_000
"""Three beats of an accumulator. In a longer gap its nodes could perhaps not be heard."""

GAP_COUNTS_MS = 2_000
"""So much of such a gap counts as silence of its nodes: less than the least that is called DOWN, so that no pause of an
accumulator, and no clock that is set, kills a node, and enough to find the dead behind one whose beats are always slow
to reach Kafka."""

LONGEST_GAP_MS = 10_000
"""After a longer gap silence counts anew. The usual deadline: the accumulator itself was DOWN meanwhile."""

EVIDENCE_WITHIN_MS = 3_000
"""So long past a node's deadline its carrier may say that it had delivered until then; after that nothing is known."""


@dataclass
class Carrier:
    """An accumulator, or the pipeline, as what carries the beats of others. Times by the clock of what it carries:
    receive times of an accumulator are compared with that accumulator's only, whatever its clock says.

    `epoch` rises whenever what it carried before says nothing about what it carries now: it was started again or was
    away, the monitor was away, a clock was set.
    """

    record: NodeRecord
    epoch: int = 0
    since_ms: int | None = None
    """From when on silence counts in this epoch; None until it has said something in it."""
    began_ms: int = 0
    """When this epoch began, by the monitor's clock."""
    began_paused_ms: int = 0
    """`paused_ms` then."""
    known_to_ms: int = 0
    """Everything received up to then was delivered."""
    paused_ms: int = 0
    """What does not count of all its gaps so far."""
    parked: set[str] = field(default_factory=set)
    """Nodes of which nothing can be said until it is back."""
    _sent_ms: int = 0
    _arrived_ms: int = 0

    def says(self, delivered_to_ms: int, sent_ms: int, now_ms: int, *, begins: bool) -> bool:
        """It beat, and has delivered so far. True if silence counts anew: it `begins`, was away for too long,
        or its clock was set.

        `now_ms` is the monitor's clock, the others are the carrier's. One that has delivered up to a time that is still
        to come has something waiting from before its clock was set back: by its clock it has delivered nothing.
        """
        if delivered_to_ms > sent_ms:
            delivered_to_ms = 0
        gap_ms = sent_ms - self._sent_ms
        anew = begins or self.since_ms is None or not -GAP_MS <= gap_ms <= LONGEST_GAP_MS
        self._sent_ms, self._arrived_ms = sent_ms, now_ms
        if anew:
            self.epoch += 1
            self.since_ms, self.known_to_ms, self.began_ms = sent_ms, delivered_to_ms, now_ms
            self.began_paused_ms = self.paused_ms
        else:
            self.known_to_ms = max(self.known_to_ms, delivered_to_ms)
            self.paused_ms += gap_ms - GAP_COUNTS_MS if gap_ms > GAP_MS else 0
        return anew

    def forget(self) -> None:
        """What it said so far is no evidence any more."""
        self.epoch += 1
        self.since_ms, self.known_to_ms = None, 0

    def clock_was_set(self, by_ms: int) -> None:
        """The monitor's clock was set by so much."""
        self.forget()
        self.began_ms += by_ms
        self._arrived_ms += by_ms

    def heard_ms(self, received_ms: int, now_ms: int) -> int:
        """When it received something, by its clock; not much later than it is by that clock, for a time from before
        the clock was set back would count as life for as long."""
        if self.since_ms is None:
            return received_ms
        return min(received_ms, self._sent_ms + now_ms - self._arrived_ms + GAP_MS)

    def silence_ms(self, heard_ms: int, epoch: int, paused_ms: int) -> int:
        """How long it is known not to have carried a beat of a node that was last heard at this time, in an epoch, when
        so much of its gaps had not counted."""
        if self.since_ms is None:
            return 0
        if epoch != self.epoch:
            heard_ms = self.since_ms
        return self.known_to_ms - max(heard_ms, self.since_ms) - self.uncounted_ms(epoch, paused_ms)

    def uncounted_ms(self, epoch: int, paused_ms: int) -> int:
        """How much of its gaps since then, or since this epoch began, does not count as silence of what it carries."""
        return self.paused_ms - (paused_ms if epoch == self.epoch else self.began_paused_ms)

    def was_there_since(self, epoch: int, paused_ms: int) -> bool:
        """Whether it had neither a new epoch nor a gap since then."""
        return (epoch, paused_ms) == (self.epoch, self.paused_ms)

    def is_quiet(self, now_ms: int) -> bool:
        """It has not beaten lately, by the monitor's clock."""
        return now_ms - self._arrived_ms > EVIDENCE_WITHIN_MS
