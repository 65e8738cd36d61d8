"""What the heartbeat monitor says of a node, and what a rule can ask about one."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """How a node is. A beat itself says only UP or DOWN (`streaming.events.model.NodeState`)."""

    UP = "UP"
    """It beats."""
    SUSPECT = "SUSPECT"
    """Its silence is long for it, and not long enough to call it DOWN."""
    DOWN = "DOWN"
    """It fell silent though its beats would have arrived, or it said itself that it goes down."""
    UNKNOWN = "UNKNOWN"
    """Nothing can be said: it never came, what carries its beats is away, or its maintenance has only just ended."""
    MAINTENANCE = "MAINTENANCE"
    """People work on it, for a time they have set: its silence means nothing."""
    RETIRED = "RETIRED"
    """Taken out of service for good: its silence means nothing, and neither do its beats."""


class Kind(StrEnum):
    """What beats. Each kind is carried by the next one: silence counts only as far as the carrier is known to work."""

    NODE = "node"
    """Anything that sends heartbeats through an accumulator."""
    ACCUMULATOR = "accumulator"
    PIPELINE = "pipeline"
    """All accumulators together, as one node of the registry: it is UP while any of them delivers."""


class About(StrEnum):
    """Which side of a node changed."""

    STATE = "state"
    DUPLICATE = "duplicate"
    """Whether two processes beat for it."""
    SKEW = "skew"
    """How far its clock is off."""


PIPELINE_ID = "vigil-pipeline"
"""Node id of the pipeline in the registry."""

PIPELINE_SERVICE = "vigil"

ACCUMULATOR_SERVICE = "vigil-accumulator"
"""Service of the accumulators' own beats."""

DELIVERED_HEADER = "vigil-delivered"
"""Name of the Kafka header of an accumulator's own beat: the receive time, in ms by that accumulator's clock, up to
which it has delivered everything. A header and no field, so that nobody who sends through an accumulator can claim to
be one."""
