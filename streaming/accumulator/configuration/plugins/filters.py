"""What a `<filter>` may be given."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from streaming.accumulator.configuration import values
from streaming.accumulator.configuration.plan import Condition, Grep, Redaction, RedactionKind, RedactionRule
from streaming.accumulator.configuration.sections import Section
from streaming.accumulator.configuration.tag_pattern import TagPattern

REDACT = "vigil_redact"
"""The one filter that applies before the spool; so it is no step of a pipeline."""


def _grep(section: Section) -> Grep:
    grep = Grep(_conditions(section, "regexp"), _conditions(section, "exclude"))
    if not grep.regexps and not grep.excludes:
        raise section.error("neither <regexp> nor <exclude>")
    return grep


def _conditions(section: Section, name: str) -> tuple[Condition, ...]:
    found = []
    for condition in section.children(name):
        found.append(
            Condition(condition.required("key", values.key_path), condition.required("pattern", values.regexp))
        )
        condition.done()
    return tuple(found)


def redaction(section: Section, tags: TagPattern) -> Redaction:
    """`@type vigil_redact`, whose `@type` is known."""
    section.required("@type", values.one_of(REDACT))
    section.checked_only(at_id=values.text, at_log_level=values.log_level)
    rules = tuple(_rule(rule) for rule in section.children("rule"))
    if not rules:
        raise section.error("no <rule>")
    section.done()
    return Redaction(section.place, tags, rules)


def _rule(section: Section) -> RedactionRule:
    kind: RedactionKind = section.required("type", values.one_of("card", "email", "bearer", "url_password", "pattern"))
    pattern = section.required("pattern", _pattern) if kind == "pattern" else None
    name = section.optional("name", _rule_name)
    if name is None and kind == "pattern":
        raise section.error("is required", field="name")
    name = name or kind
    made = RedactionRule(
        section.place,
        name,
        kind,
        pattern,
        fields=section.get("fields", _fields, ()),
        replacement=section.get("replacement", str, f"[{name}]"),
    )
    section.done()
    return made


def _pattern(text: str) -> re.Pattern[str]:
    found = values.regexp(text)
    if found.search(""):
        raise ValueError(f"{text!r} takes the empty text, so it would be found everywhere")
    return found


def _rule_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise ValueError(f"{text!r} is no name of a rule (letters, digits, _ -; at most 64)")
    return text


def _fields(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(values.key_path(part) for part in values.array(text))


FILTERS: Mapping[str, Callable[[Section], Grep]] = {"grep": _grep}
