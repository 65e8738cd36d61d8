"""Which logs a rule is about: conditions on levels and on the texts of fields."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from streaming.alerting.rules.base import FieldName
from streaming.alerting.rules.strict import Strict
from streaming.events.model import Level
from streaming.linear_regexp import LinearRegexp


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
"""One text or a list of texts; any of them fits."""


@lru_cache(maxsize=4096)
def _compiled(source: str) -> LinearRegexp:
    return LinearRegexp(source)


def _valid_regexp(source: str) -> str:
    try:
        _compiled(source)
    except ValueError as error:
        raise ValueError(
            f"no regular expression of RE2 (which has no look-around and no back-references): {error}"
        ) from error
    return source


Regexp = Annotated[str, AfterValidator(_valid_regexp)]
"""As RE2 reads it: searched in time linear in the text, since the texts come from strangers."""

Regexps = Annotated[tuple[Regexp, ...], BeforeValidator(_as_list)]
"""One or a list; any of them is found in the text."""


class TextCondition(Strict):
    """What one field must hold: every key given must fit, each by any of its texts. Case matters."""

    equals: Words = Field((), description="is one of these")
    prefix: Words = Field((), description="starts with one of these")
    contains: Words = Field((), description="holds one of these")
    not_equals: Words = Field((), description="is none of these")
    not_prefix: Words = Field((), description="starts with none of these")
    not_contains: Words = Field((), description="holds none of these")
    matches: Regexps = Field((), description="one of these regular expressions (RE2) is found in it")
    not_matches: Regexps = Field((), description="none of these regular expressions (RE2) is found in it")

    @model_validator(mode="after")
    def _asks_something(self) -> TextCondition:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("asks nothing; give equals, prefix, contains, matches or a not_ form of them")
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
            and (not self.matches or _any_found(self.matches, value))
            and not (self.not_matches and _any_found(self.not_matches, value))
        )


def _any_found(patterns: Sequence[str], value: str) -> bool:
    text = value.encode("utf-8", "replace")
    return any(_compiled(pattern).found_in(text) for pattern in patterns)


class Where(Strict):
    """Which logs a rule is about."""

    levels: tuple[Level, ...] = Field((), description="any of these levels; none given: every level")
    fields: dict[FieldName, TextCondition] = Field({}, description="conditions on fields, all of which must hold")
