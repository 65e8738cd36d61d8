"""Rules of kind `node-health`: a node that falls silent fires, and resolves when it is back."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from streaming.alerting.rules.base import RuleBase, Strict
from streaming.alerting.rules.match import TextCondition
from streaming.heartbeat.messages import NodeStatus

NODE_FIELD = "service.node.name"
SERVICE_FIELD = "service.name"


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
    """One incident for each node that is DOWN; it resolves when the node is UP again."""

    kind: Literal["node-health"]
    where: NodeWhere = Field(NodeWhere(), description="which nodes it watches")

    def group(self, node_id: str) -> dict[str, str]:
        """The group of a node's incident: by the node alone, so that UP finds it whatever else changed."""
        return {NODE_FIELD: node_id}
