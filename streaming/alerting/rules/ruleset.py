"""A whole set of rules, with the version that names it."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import Annotated

from pydantic import Field, ValidationError

from streaming.alerting.rules.base import Strict
from streaming.alerting.rules.match import MatchRule
from streaming.alerting.rules.node_health import NodeHealthRule
from streaming.errors import ConfigError

Rule = Annotated[MatchRule | NodeHealthRule, Field(discriminator="kind")]
"""A rule of any kind. A new kind: a file of its own beside `match.py`, and its class here and in the engine."""


class RuleFile(Strict):
    """One file of `rules/`."""

    rules: tuple[Rule, ...] = Field(description="the rules of this file")


class RuleSet(Strict):
    """Rules in force together. Equal sets have equal versions, whatever files, comments or order they came in."""

    rules: tuple[Rule, ...]

    @cached_property
    def version(self) -> str:
        """Hash of the content."""
        content = sorted((rule.model_dump(mode="json") for rule in self.rules), key=lambda rule: str(rule["id"]))
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def encode(self) -> bytes:
        """As it is kept in the topic `rule-sets`."""
        return self.model_dump_json().encode()

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
