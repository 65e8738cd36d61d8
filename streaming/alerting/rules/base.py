"""What every rule has, whatever its kind."""

from __future__ import annotations

import re
from collections.abc import Sized
from functools import lru_cache
from typing import Annotated

from jinja2 import ChainableUndefined, Template, TemplateError
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from streaming.alerting.fields import FIELD_NAMES, LABELS, is_field
from streaming.alerting.messages import Severity
from streaming.alerting.rules.strict import Strict
from streaming.alerting.rules.weekly import WeeklyTime
from streaming.alerting.text import cut, one_line

TITLE_LIMIT = 150
"""Characters of a title: what Slack's header block takes."""

TEXT_LIMIT = 2_000
"""Characters of a message's text: what a person reads in a chat message."""

MOST_BITS = 10_000
"""Of a number that a template computes, some 3,000 digits: more than any title shows."""

LONGEST_PRODUCT = 100_000
"""Characters, or members, of what a template makes by repeating: fifty times the longest text."""

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value.strip())
    if not found:
        raise ValueError(f"{value!r} is no length of time; write a number and ms, s, m, h or d, such as 5m")
    return float(found[1]) * _UNITS_S[found[2]]


def ascii_only(text: str) -> str:
    """For mail addresses.

    Raises:
        ValueError: it has other characters.
    """
    if not text.isascii():
        raise ValueError("has other characters than ASCII, which few mail servers take in an address")
    return text


def _known_field(name: str) -> str:
    if not is_field(name):
        raise ValueError(f"{name!r} is no field that rules know")
    return name


class _Environment(SandboxedEnvironment):
    """A sandbox in which no template takes the memory or the time of others: rules are written by people, but a slip in
    one must not end every alert.

    Constants are worked out when a template is rendered, not when it is loaded: there `{{ 9**999999999 }}` would
    hold up the reading of all rules.
    """

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        super().__init__(undefined=ChainableUndefined, autoescape=False)
        self.optimized = False

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        """
        Raises:
            OverflowError: the result would be larger than any template needs.
        """
        if operator == "**" and isinstance(left, int) and isinstance(right, int):
            if right > 0 and left.bit_length() * right > MOST_BITS:
                raise OverflowError(f"{operator} makes a number of more than {MOST_BITS} bits")
        elif operator == "*":
            for one, times in ((left, right), (right, left)):
                if isinstance(one, Sized) and isinstance(times, int) and len(one) * times > LONGEST_PRODUCT:
                    raise OverflowError(f"{operator} makes more than {LONGEST_PRODUCT} characters")
            if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > MOST_BITS:
                raise OverflowError(f"{operator} makes a number of more than {MOST_BITS} bits")
        return super().call_binop(context, operator, left, right)


@lru_cache(maxsize=4096)
def _template(source: str) -> Template:
    return _ENVIRONMENT.from_string(source)


_ENVIRONMENT = _Environment()


def _valid_template(source: str) -> str:
    try:
        _template(source)
    except (TemplateError, SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        # Jinja writes Python code, which may be too deep or too large for Python.
        raise ValueError(f"no valid Jinja template: {error}") from error
    return source


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    Field(gt=0, allow_inf_nan=False),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d)$", "examples": ["30s", "5m"]},
                {"type": "number", "exclusiveMinimum": 0},
            ]
        }
    ),
]
"""A length of time in seconds; written `30s`, `5m`, `1h`, or as a number of seconds."""

FieldName = Annotated[
    str,
    AfterValidator(_known_field),
    WithJsonSchema({"anyOf": [{"enum": list(FIELD_NAMES)}, {"type": "string", "pattern": rf"^{LABELS}.+"}]}),
]
"""An ECS field name (`streaming.alerting.fields`)."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""A name that other parts of the files refer to."""

ValidTemplate = Annotated[str, AfterValidator(_valid_template)]
"""A Jinja template, run in a sandbox."""


class RuleBase(Strict):
    """What every rule has. Kinds derive from it, each in a file of its own."""

    id: Name = Field(description="unique name; incidents carry it")
    severity: Severity = Field(description="how urgent an incident of this rule is")
    title: Annotated[str, AfterValidator(_valid_template)] = Field(
        min_length=1, description="Jinja template over ECS fields, such as '{{ service.name }}: {{ message }}'"
    )
    text: ValidTemplate = Field("", description="Jinja template of what the message says beneath the title")
    hold_for: Duration | None = Field(
        None, alias="for", description="how long it must go on before anybody is told; none: told at once"
    )
    resolve_after: Duration | None = Field(
        None, description="quiet time after which an incident resolves; none: something else must resolve it"
    )
    repeat_every: Duration | None = Field(
        None, description="how often an incident that nobody acknowledged is told again; none: never"
    )
    route: str = Field("", description="name of the route that tells its incidents; none: the first that fits")
    owner: str = Field("", description="team or person whose rule it is")
    active: tuple[WeeklyTime, ...] = Field(
        (), description="when the rule is in force, by the time its logs were received; none: always"
    )
    enabled: bool = Field(True, description="false: the rule is checked, but never fires")
    runbook: str | None = Field(
        None, pattern=r"^https?://[^\s<>|]+$", description="address of what to do when this fires"
    )
    labels: dict[str, str] = Field({}, description="free names and values, carried by the incident")


def render_text(template: str, fields: dict[str, object]) -> str:
    """What an incident's message says beneath its title, at most `TEXT_LIMIT` characters; empty without a template."""
    if not template:
        return ""
    try:
        return cut(_template(template).render(fields), TEXT_LIMIT)
    except Exception as error:  # noqa: BLE001 -- as for a title
        return cut(f"{template} (text: {error})", TEXT_LIMIT)


def render_title(template: str, fields: dict[str, object]) -> str:
    """The title of an incident: one line, at most `TITLE_LIMIT` characters, whatever the log holds."""
    try:
        return one_line(_template(template).render(fields), TITLE_LIMIT)
    except Exception as error:  # noqa: BLE001 -- a template calls what it likes, which raises what it likes
        # The template was valid, but not for this log; an alert with a plain title beats none.
        return one_line(f"{template} (title: {error})", TITLE_LIMIT)
