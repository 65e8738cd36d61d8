"""What a `<filter>` may be given."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from streaming.accumulator.configuration import values
from streaming.accumulator.configuration.filters import Condition, FilterRule, Grep, ParserFilter, RecordTransformer
from streaming.accumulator.configuration.plan import Redaction, RedactionKind, RedactionRule
from streaming.accumulator.configuration.plugins.parse import parse_of
from streaming.accumulator.configuration.sections import Section
from streaming.accumulator.configuration.tag_pattern import TagPattern
from streaming.accumulator.configuration.template import Hash, Template, Value, template_of, value_of
from streaming.accumulator.redaction.finders import finder_of

REDACT = "vigil_redact"
"""The one filter that applies before the spool; so it is no step of a pipeline."""


def _grep(section: Section) -> FilterRule:
    regexps, excludes = _conditions(section, "regexp"), _conditions(section, "exclude")
    any_regexps: list[Condition] = []
    all_excludes: list[Condition] = []
    for group in section.children("and"):
        found = _group(group)
        regexps += found["regexp"]
        all_excludes += found["exclude"]
    for group in section.children("or"):
        found = _group(group)
        any_regexps += found["regexp"]
        excludes += found["exclude"]
    grep = Grep(tuple(regexps), tuple(excludes), tuple(any_regexps), tuple(all_excludes))
    if not grep.conditions:
        raise section.error("neither <regexp> nor <exclude>")
    for conditions in (regexps, excludes, any_regexps, all_excludes):
        keys = [c.keys for c in conditions]
        if again := next((k for n, k in enumerate(keys) if k in keys[:n]), None):
            raise section.error(f"the key {'.'.join(again)!r} twice in one group", remedy="Join the patterns with |")
    return grep


def _group(section: Section) -> dict[str, list[Condition]]:
    """`<and>` or `<or>`: of one kind. All `<or>` of a filter are one group in Fluentd, and so are all `<and>`."""
    found = {name: _conditions(section, name) for name in ("regexp", "exclude")}
    if all(found.values()):
        raise section.error("<regexp> and <exclude> within one")
    if not any(found.values()):
        raise section.error("neither <regexp> nor <exclude>")
    section.done()
    return found


def _conditions(section: Section, name: str) -> list[Condition]:
    found = []
    for condition in section.children(name):
        found.append(
            Condition(condition.required("key", values.key_path), condition.required("pattern", values.pattern))
        )
        condition.done()
    return found


def _record_transformer(section: Section) -> FilterRule:
    pairs: list[tuple[Template, Value]] = []
    for record in section.children("record"):
        pairs += [(_key(record, name), value) for name, value in record.every(value_of).items()]
        record.done()
    section.optional("enable_ruby", values.one_of("false", "no"))
    keep_keys = section.optional("keep_keys", values.array) or ()
    renew_record = section.get("renew_record", values.boolean, False)
    if keep_keys and not renew_record:
        raise section.place_of("keep_keys").error("needs renew_record true", name="keep_keys")
    return RecordTransformer(
        Hash(tuple(pairs)),
        remove_keys=section.get("remove_keys", _fields, ()),
        keep_keys=keep_keys,
        renew_record=renew_record,
        renew_time_key=section.optional("renew_time_key", values.text),
        auto_typecast=section.get("auto_typecast", values.boolean, True),
    )


def _key(record: Section, name: str) -> Template:
    try:
        return template_of(name)
    except ValueError as error:
        raise record.place_of(name).error(str(error), name=name) from error


def _parser(section: Section) -> FilterRule:
    # What is no UTF-8 has U+FFFD in its place already, and is kept beside as it came.
    section.checked_only(replace_invalid_sequence=values.boolean)
    return ParserFilter(
        key=section.required("key_name", values.key_path),
        parse=parse_of(section),
        reserve_data=section.get("reserve_data", values.boolean, False),
        reserve_time=section.get("reserve_time", values.boolean, False),
        remove_key_name_field=section.get("remove_key_name_field", values.boolean, False),
        inject_key_prefix=section.get("inject_key_prefix", str, ""),
        hash_value_field=section.optional("hash_value_field", values.text),
        emit_invalid_record_to_error=section.get("emit_invalid_record_to_error", values.boolean, True),
    )


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
    finder_of(made)  # raises where its pattern cannot be used
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


FILTERS: Mapping[str, Callable[[Section], FilterRule]] = {
    "grep": _grep,
    "parser": _parser,
    "record_transformer": _record_transformer,
}
