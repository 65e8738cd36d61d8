"""The nodes that must be there."""

from __future__ import annotations

from pydantic import Field

from streaming.alerting.rules.strict import Strict


class ExpectedNode(Strict):
    """A node that must be there: one that never came is reported as well."""

    node: str = Field(min_length=1, max_length=512, description="its service.node.name")
    service: str = Field("", max_length=512, description="its service.name")
    owner: str = Field("", description="team or person whose node it is")
