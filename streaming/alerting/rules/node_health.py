"""Rules of kind `node-health`: something is wrong with a node, and the incident resolves when it no longer is."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from streaming.alerting.rules.base import Duration, RuleBase
from streaming.alerting.rules.conditions import TextCondition
from streaming.alerting.rules.strict import Strict
from streaming.heartbeat.messages import NodeStatus
from streaming.heartbeat.states import About, State

NODE_FIELD = "service.node.name"
SERVICE_FIELD = "service.name"

MAX_SKEW_S = 5.0
"""What a rule for clocks asks if it does not say."""


class NodeCondition(StrEnum):
    """What can be wrong with a node."""

    DOWN = "DOWN"
    """It fell silent, and did not say that it stops."""
    SUSPECT = "SUSPECT"
    """Its silence is long for it, and not long enough for DOWN."""
    UNKNOWN = "UNKNOWN"
    """Nothing can be said of it: what carries its beats is away."""
    NEVER_SEEN = "NEVER_SEEN"
    """The inventory expects it, and it never came."""
    DUPLICATE = "DUPLICATE"
    """Two processes beat under its name."""
    SKEWED = "SKEWED"
    """Its clock is off by more than `max_skew`."""


class NodeWhere(Strict):
    """Which nodes a rule is about; nothing given: all."""

    node: TextCondition | None = Field(None, description="condition on the node's name")
    service: TextCondition | None = Field(None, description="condition on the node's service")

    def fits(self, status: NodeStatus) -> bool:
        """Whether a node is meant."""
        return (self.node is None or self.node.fits(status.node_id)) and (
            self.service is None or self.service.fits(status.service)
        )


class NodeHealthRule(RuleBase):
    """One incident for each node of which the condition holds; it resolves when it no longer does."""

    kind: Literal["node-health"]
    where: NodeWhere = Field(NodeWhere(), description="which nodes it watches")
    condition: NodeCondition = Field(NodeCondition.DOWN, description="what must be wrong with a node")
    max_skew: Duration | None = Field(
        None, description="with condition SKEWED: how far a node's clock may be off; 5 seconds if not given"
    )

    @model_validator(mode="after")
    def _skew_is_asked_for(self) -> NodeHealthRule:
        if self.max_skew is not None and self.condition is not NodeCondition.SKEWED:
            raise ValueError("max_skew goes with condition: SKEWED")
        return self

    @property
    def skew_bound_ms(self) -> float | None:
        """The difference of clocks that it asks for; None where it asks for something else."""
        return 1000 * (self.max_skew or MAX_SKEW_S) if self.condition is NodeCondition.SKEWED else None

    def group(self, node_id: str) -> dict[str, str]:
        """The group of a node's incident: by the node alone, so that its end finds it whatever else changed."""
        return {NODE_FIELD: node_id}

    def holds(self, status: NodeStatus) -> bool | None:
        """Whether its condition begins to hold (true) or is over (false) by a change; None: neither, as far as the
        change says."""
        if status.state in (State.MAINTENANCE, State.RETIRED):
            return False
        if self.condition in (NodeCondition.DUPLICATE, NodeCondition.SKEWED):
            return self._holds_beside_the_state(status)
        if status.about is not About.STATE:
            return None
        if self.condition is NodeCondition.DOWN and not _is_news_of_down(status):
            return None
        return self._holds_of_the_state(status)

    def _holds_beside_the_state(self, status: NodeStatus) -> bool | None:
        if self.condition is NodeCondition.DUPLICATE:
            return status.duplicate if status.about is About.DUPLICATE else None
        bound_ms = self.skew_bound_ms
        if status.about is not About.SKEW or bound_ms is None:
            return None
        return abs(status.skew_ms or 0.0) > bound_ms

    def _holds_of_the_state(self, status: NodeStatus) -> bool:
        match self.condition:
            case NodeCondition.DOWN:
                return status.state == State.DOWN and not status.clean_shutdown
            case NodeCondition.UNKNOWN:
                return status.state == State.UNKNOWN and status.last_beat_ms is not None
            case NodeCondition.NEVER_SEEN:
                return status.never_seen
            case _:
                return status.state == State.SUSPECT


def _is_news_of_down(status: NodeStatus) -> bool:
    """Suspicion and ignorance end nothing: an incident of a node that was DOWN is over when it is UP, stopped on
    purpose, or taken out of watching."""
    return status.state not in (State.SUSPECT, State.UNKNOWN)
