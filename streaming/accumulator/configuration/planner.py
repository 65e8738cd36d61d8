"""From a configuration file to its plan: sections in their order, every parameter checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from streaming.accumulator.configuration import checks, values
from streaming.accumulator.configuration.config import Element, parse_file
from streaming.accumulator.configuration.plan import ROOT, Filter, Match, Pipeline, Plan, Redaction, RedactionRule
from streaming.accumulator.configuration.plugins.filters import FILTERS, REDACT, redaction
from streaming.accumulator.configuration.plugins.outputs import OUTPUTS
from streaming.accumulator.configuration.plugins.sources import SOURCES
from streaming.accumulator.configuration.sections import Section, typed
from streaming.accumulator.configuration.tag_pattern import TagPattern, tag_pattern


def load_plan(path: Path, environment: Mapping[str, str]) -> Plan:
    """Reads and checks a configuration.

    Raises:
        ConfigError: names file, line and reason, with the nearest known word where a word is unknown.
    """
    return build_plan(parse_file(path, environment))


def build_plan(root: Element) -> Plan:
    """The plan of a parsed configuration. Raises `ConfigError`."""
    top = Section(_without_workers(root))
    for system in top.children("system"):
        _system(system)
    sources = tuple(typed(s, SOURCES) for s in top.children("source"))
    labels: dict[str, Pipeline] = {}
    for label in top.children("label"):
        name = _label_name(label)
        if name in labels:
            raise label.error(f"a second <label {name}>; Fluentd would forget the first")
        labels[name] = _pipeline(label)
        if not any(isinstance(step, Match) for step in labels[name]):
            raise label.error(f"no <match> in <label {name}>")
    redactions = _redactions(top)
    plan = Plan(sources, _pipeline(top), labels, redactions)
    checks.check(plan, root)
    return plan


def _without_workers(root: Element) -> Element:
    """`<worker 0>` is for the one process there is: what it holds comes behind all else, as in Fluentd."""
    workers = [element for element in root.elements if element.name == "worker"]
    for worker in workers:
        if worker.argument not in ("0", "0-0"):
            raise worker.place.error(f"there is one worker, 0, and no {worker.argument!r}", name="<worker>")
        for name in worker.parameters:
            raise worker.parameters[name].place.error("unknown parameter", name=name)
        for element in worker.elements:
            if element.name not in ("source", "match", "filter", "label"):
                raise element.place.error(f"<{element.name}> cannot stand in <worker>", name=f"<{element.name}>")
    if len(workers) > 1:
        raise workers[1].place.error("a second <worker> of the same id", name="<worker>")
    elements = [element for element in root.elements if element.name != "worker"]
    elements += [element for worker in workers for element in worker.elements]
    return Element(root.name, root.argument, root.place, root.parameters, elements)


def _system(section: Section) -> None:
    # Of Fluentd's own process: where it keeps its buffers, how it logs.
    section.checked_only(root_dir=values.text, log_level=values.log_level, process_name=values.text)
    section.optional("workers", values.one_of("1"))
    section.done()


def _label_name(section: Section) -> str:
    name = section.argument
    if not name.startswith("@") or len(name.split()) != 1:
        raise section.error("a label's name begins with @ and has no blanks", field="label")
    if name == ROOT:
        raise section.error(f"{ROOT} is the top level and no label")
    return name


def _redactions(top: Section) -> tuple[Redaction, ...]:
    """They stand at the top level before any `<match>`, since nothing has left for anywhere when they apply."""
    found: list[Redaction] = []
    matched = False
    for name, child in top.order:
        matched = matched or name == "match"
        if name == "filter" and _is_redaction(child):
            if matched:
                raise child.error(f"{REDACT} behind a <match>: it applies to all that is received, before the disk")
            found.append(redaction(child, _tags(child)))
    names: dict[str, RedactionRule] = {}
    for rule in (rule for r in found for rule in r.rules):
        before = names.setdefault(rule.name, rule)
        if before is not rule:
            where = f"{before.place.file.name}:{before.place.line}"
            raise rule.place.error(f"the name {rule.name!r} is given twice, first in {where}", name="name")
    return tuple(found)


def _is_redaction(section: Section) -> bool:
    return section.optional("@type", str) == REDACT


def _pipeline(section: Section) -> Pipeline:
    steps: list[Filter | Match] = []
    section.children("filter")
    section.children("match")
    for name, child in section.order:
        if name == "filter" and _is_redaction(child):
            if section.name:
                raise child.error(f"{REDACT} within a label: it applies before the disk; put it at the top level")
        elif name == "filter":
            steps.append(Filter(_tags(child), typed(child, FILTERS)))
        elif name == "match":
            steps.append(Match(_tags(child), typed(child, OUTPUTS)))
    section.done()
    return tuple(steps)


def _tags(section: Section) -> TagPattern:
    try:
        return tag_pattern(section.argument)
    except ValueError as error:
        raise section.error(str(error)) from error
