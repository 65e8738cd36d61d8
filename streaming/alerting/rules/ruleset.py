"""A whole set of rules and what belongs to them, with the version that names it."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated

from pydantic import Field, ValidationError

from streaming.alerting.rules.absence import AbsenceRule
from streaming.alerting.rules.composite import CompositeRule
from streaming.alerting.rules.error_ratio import ErrorRatioRule
from streaming.alerting.rules.flapping import FlappingRule
from streaming.alerting.rules.inventory import ExpectedNode
from streaming.alerting.rules.match import MatchRule
from streaming.alerting.rules.muting import Dependency, Inhibition, Maintenance
from streaming.alerting.rules.new_value import NewTemplateRule, NewValueRule
from streaming.alerting.rules.node_health import NodeHealthRule
from streaming.alerting.rules.people import Person, Rotation
from streaming.alerting.rules.pipeline_health import PipelineHealthRule
from streaming.alerting.rules.retention import RetentionClass
from streaming.alerting.rules.routes import DeadMan, Receiver, Route
from streaming.alerting.rules.spike import SpikeRule
from streaming.alerting.rules.strict import Strict
from streaming.alerting.rules.threshold import ThresholdRule
from streaming.errors import ConfigError

RULE_KINDS = (
    MatchRule,
    ThresholdRule,
    SpikeRule,
    ErrorRatioRule,
    AbsenceRule,
    NewValueRule,
    NewTemplateRule,
    FlappingRule,
    CompositeRule,
    NodeHealthRule,
    PipelineHealthRule,
)

Rule = Annotated[
    MatchRule
    | ThresholdRule
    | SpikeRule
    | ErrorRatioRule
    | AbsenceRule
    | NewValueRule
    | NewTemplateRule
    | FlappingRule
    | CompositeRule
    | NodeHealthRule
    | PipelineHealthRule,
    Field(discriminator="kind"),
]
"""A rule of any kind. A new kind: a file of its own beside `match.py`, its class here, and whoever evaluates it."""


class RuleFile(Strict):
    """One file of `rules/`, and likewise all of them together."""

    rules: tuple[Rule, ...] = Field((), description="the rules of this file")
    receivers: tuple[Receiver, ...] = Field((), description="ways to tell people, beside console and slack")
    routes: tuple[Route, ...] = Field((), description="which incidents are told to which receivers")
    people: tuple[Person, ...] = Field((), description="who can be called")
    rotations: tuple[Rotation, ...] = Field((), description="who is on call when")
    maintenance: tuple[Maintenance, ...] = Field((), description="times in which incidents are not told")
    inhibitions: tuple[Inhibition, ...] = Field((), description="incidents that mute others")
    dependencies: tuple[Dependency, ...] = Field((), description="services that cannot work without others")
    inventory: tuple[ExpectedNode, ...] = Field((), description="nodes that must be there")
    retention: tuple[RetentionClass, ...] = Field((), description="which logs are kept for how long")
    dead_man: DeadMan | None = Field(None, description="a sign of life on a schedule")


class RuleSet(RuleFile):
    """What is in force together. Equal sets have equal versions, whatever files, comments or order of rules they came
    in; of routes, overrides and maintenance windows the order counts."""

    @cached_property
    def version(self) -> str:
        """Hash of the content, retention excepted: that has versions of its own, and no alert follows from it."""
        content = self.model_dump(mode="json", by_alias=True, exclude={"retention"})
        content["rules"].sort(key=lambda rule: str(rule["id"]))
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def encode(self) -> bytes:
        """As it is kept in the topic `rule-sets`."""
        return self.model_dump_json(by_alias=True).encode()

    @classmethod
    def decode(cls, value: bytes) -> RuleSet:
        """Reads what `encode` wrote.

        Raises:
            ConfigError: written by a version of Vigil whose rules this one does not know.
        """
        try:
            return cls.model_validate_json(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ConfigError(
                f"the kept rule set cannot be read: {first['msg']} at {'.'.join(map(str, first['loc']))}",
                remedy="Correct the rule files and start again: a good set replaces it",
            ) from error
