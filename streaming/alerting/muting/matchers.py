"""Conditions of silences on incidents, as people write them (`service.name=payment`, `severity=~warn|error`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from streaming.alerting.messages import Incident, Matcher
from streaming.alerting.rules.incident_conditions import attribute, known_attribute
from streaming.linear_regexp import LinearRegexp

MATCHERS_LIMIT = 20
"""Matchers of one silence."""
NAME_LIMIT = 200
"""Characters of an attribute's name."""
VALUE_LIMIT = 4_000
"""Characters of a value: the key of an incident grouped by a dozen fields of 200 characters each."""
REGEXP_LIMIT = 500
"""Characters of a regular expression: what is longer is no longer read by anybody."""

_WRITTEN = re.compile(r"\s*([^\s=!~]+)\s*(=~|!~|!=|=)(.*)", re.DOTALL)


def parse_matcher(text: str) -> Matcher:
    """Reads `NAME=VALUE`, `NAME!=VALUE`, `NAME=~REGEXP` or `NAME!~REGEXP`; blanks around the value are left out.

    Raises:
        ValueError: it is none of these, or could never be asked; says how to write it.
    """
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no condition; write NAME=VALUE, NAME!=VALUE, NAME=~REGEXP or NAME!~REGEXP")
    name, op, value = found.groups()
    if op == "=" and value.startswith("="):
        raise ValueError(f"{text!r}: write = once")
    matcher = Matcher(name=name, op=op, value=value.strip())
    compiled(matcher)
    return matcher


def written(matchers: Sequence[Matcher]) -> str:
    """As `parse_matcher` reads them, with blanks between."""
    return " ".join(f"{matcher.name}{matcher.op}{matcher.value}" for matcher in matchers)


def compiled(matcher: Matcher) -> Callable[[str], bool]:
    """Whether a value of its attribute fits.

    Raises:
        ValueError: there is no such attribute or comparison, the regular expression is none of RE2, or it is empty or
            too long.
    """
    if len(matcher.name) > NAME_LIMIT or len(matcher.value) > VALUE_LIMIT:
        raise ValueError(f"a name has at most {NAME_LIMIT} characters, and a value {VALUE_LIMIT}")
    known_attribute(matcher.name)
    value = matcher.value
    match matcher.op:
        case "=":
            return lambda found: found == value
        case "!=":
            return lambda found: found != value
        case "=~" | "!~":
            search, wanted = _regexp(value), matcher.op == "=~"
            return lambda found: search.found_in(found.encode("utf-8", "replace")) is wanted
    raise ValueError(f"{matcher.op!r} is no comparison; possible: = != =~ !~")


def _regexp(source: str) -> LinearRegexp:
    if not source:
        # It is held by every text: a variable that is not set would mute all or nothing.
        raise ValueError("a regular expression is empty, which every text holds; for the empty text write NAME=")
    if len(source) > REGEXP_LIMIT:
        raise ValueError(f"a regular expression has at most {REGEXP_LIMIT} characters")
    try:
        return LinearRegexp(source)
    except ValueError as error:
        raise ValueError(f"{source!r} is no regular expression of RE2: {error}") from error


class Conditions:
    """The matchers of one silence, compiled once: all must fit.

    Raises:
        ValueError: there is none, or too many, or one that cannot be used, or they ask for nothing: an attribute that
            an incident lacks is the empty text, and one of them must not fit that. Else `service.name=$SERVICE` with
            a variable that is not set would silence everything that has no service.
    """

    def __init__(self, matchers: Sequence[Matcher]) -> None:
        if not 0 < len(matchers) <= MATCHERS_LIMIT:
            raise ValueError(f"a silence has 1 to {MATCHERS_LIMIT} conditions, not {len(matchers)}")
        self._fits = [(matcher.name, compiled(matcher)) for matcher in matchers]
        if all(fits("") for _, fits in self._fits):
            raise ValueError("it asks for nothing that an incident must have; add a condition such as severity=~.")
        self.key = next(((m.name, m.value) for m in matchers if m.op == "=" and m.value), None)
        """An attribute and the value that it must have, by which the silence of an incident is found; None: there is
        no such condition."""

    def fits(self, incident: Incident) -> bool:
        """Whether an incident is meant."""
        return all(fits(attribute(incident, name)) for name, fits in self._fits)
