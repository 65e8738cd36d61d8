"""What every rule has, whatever its kind."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Literal

from jinja2 import ChainableUndefined, Template, TemplateError
from jinja2.sandbox import SandboxedEnvironment
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from streaming.alerting.fields import FIELD_NAMES, LABELS, is_field
from streaming.alerting.messages import Severity
from streaming.alerting.text import one_line

TITLE_LIMIT = 150
"""Characters of a title: what Slack's header block takes."""

Route = Literal["default", "canary"]
"""Where an incident is told (`streaming.alerting.routes`)."""

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value.strip())
    if not found:
        raise ValueError(f"{value!r} is no length of time; write a number and ms, s, m, h or d, such as 5m")
    return float(found[1]) * _UNITS_S[found[2]]


def _known_field(name: str) -> str:
    if not is_field(name):
        raise ValueError(f"{name!r} is no field that rules know")
    return name


@lru_cache(maxsize=4096)
def _template(source: str) -> Template:
    return _ENVIRONMENT.from_string(source)


_ENVIRONMENT = SandboxedEnvironment(undefined=ChainableUndefined, autoescape=False)


def _valid_template(source: str) -> str:
    try:
        _template(source)
    except (TemplateError, SyntaxError, RecursionError) as error:
        # Jinja writes Python code, which may be too deep for Python.
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


class Strict(BaseModel):
    """A part of a rule: a key that it does not know is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RuleBase(Strict):
    """What every rule has. Kinds derive from it, each in a file of its own."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="unique name; incidents carry it")
    severity: Severity = Field(description="how urgent an incident of this rule is")
    title: Annotated[str, AfterValidator(_valid_template)] = Field(
        min_length=1, description="Jinja template over ECS fields, such as '{{ service.name }}: {{ message }}'"
    )
    resolve_after: Duration | None = Field(
        None, description="quiet time after which an incident resolves; none: something else must resolve it"
    )
    route: Route = Field("default", description="where its incidents are told")
    enabled: bool = Field(True, description="false: the rule is checked, but never fires")
    runbook: str | None = Field(
        None, pattern=r"^https?://[^\s<>|]+$", description="address of what to do when this fires"
    )
    labels: dict[str, str] = Field({}, description="free names and values, carried by the incident")


def render_title(template: str, fields: dict[str, object]) -> str:
    """The title of an incident: one line, at most `TITLE_LIMIT` characters, whatever the log holds."""
    try:
        return one_line(_template(template).render(fields), TITLE_LIMIT)
    except Exception as error:  # noqa: BLE001 -- a template calls what it likes, which raises what it likes
        # The template was valid, but not for this log; an alert with a plain title beats none.
        return one_line(f"{template} (title: {error})", TITLE_LIMIT)
