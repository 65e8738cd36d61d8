"""Rules of kind `match`: every log that fits fires."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from streaming.alerting.fields import Getter, getter
from streaming.alerting.rules.base import FieldName, RuleBase, Strict
from streaming.events.model import Level, LogEvent


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
"""One text or a list of texts; any of them fits."""


class TextCondition(Strict):
    """What one field must hold: every key given must fit, each by any of its texts. Case matters."""

    equals: Words = Field((), description="is one of these")
    prefix: Words = Field((), description="starts with one of these")
    contains: Words = Field((), description="holds one of these")
    not_equals: Words = Field((), description="is none of these")
    not_prefix: Words = Field((), description="starts with none of these")
    not_contains: Words = Field((), description="holds none of these")

    @model_validator(mode="after")
    def _asks_something(self) -> TextCondition:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("asks nothing; give equals, prefix, contains or a not_ form of them")
        return self

    def fits(self, value: str) -> bool:
        """Whether a field's value fits."""
        return (
            (not self.equals or value in self.equals)
            and (not self.prefix or value.startswith(self.prefix))
            and (not self.contains or any(part in value for part in self.contains))
            and value not in self.not_equals
            and not value.startswith(self.not_prefix)
            and not any(part in value for part in self.not_contains)
        )


class Where(Strict):
    """Which logs a rule is about."""

    levels: tuple[Level, ...] = Field((), description="any of these levels; none given: every level")
    fields: dict[FieldName, TextCondition] = Field({}, description="conditions on fields, all of which must hold")


class MatchRule(RuleBase):
    """Fires on every log that fits `where`, on arrival, whatever the log's own time."""

    kind: Literal["match"]
    where: Where = Field(description="which logs fire it")
    group_by: tuple[FieldName, ...] = Field(
        (), description="one incident for each set of values; a field that a log lacks is left out"
    )

    @model_validator(mode="after")
    def _is_selective(self) -> MatchRule:
        if not self.where.levels and not self.where.fields:
            raise ValueError("where: would match every log; give levels or fields")
        return self


def predicate(where: Where, skip: str | None = None) -> Callable[[LogEvent], bool]:
    """Compiles the field conditions (an index answers the levels, and `skip`, before this is asked)."""
    conditions: tuple[tuple[Getter, Callable[[str], bool]], ...] = tuple(
        (getter(name), condition.fits) for name, condition in where.fields.items() if name != skip
    )
    return lambda event: all(fits(get(event)) for get, fits in conditions)
