"""What a plan does, for people and for programs. Secrets are never said, only that there are any."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from streaming.accumulator.configuration.checks import protocols
from streaming.accumulator.configuration.config import Place
from streaming.accumulator.configuration.filters import FilterRule, Grep, ParserFilter
from streaming.accumulator.configuration.parse import Parse, patterns_of
from streaming.accumulator.configuration.pattern import Pattern
from streaming.accumulator.configuration.plan import (
    ROOT,
    Action,
    Buffer,
    Copy,
    FileOutput,
    Filter,
    ForwardSource,
    HttpSource,
    KafkaOutput,
    NullOutput,
    OtlpSource,
    Pipeline,
    Plan,
    Redaction,
    Relabel,
    Source,
    SyslogSource,
    TailSource,
)

if TYPE_CHECKING:
    from streaming.events.model import Json

Said = dict[str, "Json"]


def describe(plan: Plan) -> Said:
    """Sources, redactions, routes and outputs, each with the place where it stands."""
    routes: list[Json] = [_route(ROOT, plan.top), *(_route(name, steps) for name, steps in plan.labels.items())]
    return {
        "sources": [_source(source) for source in plan.sources],
        "redactions": [_redaction(redaction) for redaction in plan.redactions],
        "routes": routes,
        "outputs": [_kafka(output) for output in plan.kafka_outputs()],
    }


def _at(place: Place) -> str:
    return f"{place.file.name}:{place.line}"


def _source(source: Source) -> Said:
    kind = _KINDS[type(source)]
    said: Said = {"type": kind, "at": _at(source.place), "label": source.label or ROOT}
    if isinstance(source, TailSource):
        paths: list[Json] = [*source.paths]
        return {**said, "paths": paths, "tag": source.tag, "parse": _parse(source.parse)}
    transports: list[Json] = [*sorted(protocols(source))]
    said |= {"address": f"{source.bind}:{source.port}", "transports": transports, "tls": source.tls is not None}
    if source.tls:
        said["client_certificates"] = source.tls.client_cert_auth
    if isinstance(source, ForwardSource):
        said["shared_key"] = source.security is not None
        said["users"] = len(source.security.users) if source.security and source.security.user_auth else 0
    elif isinstance(source, SyslogSource | OtlpSource):
        said["tag"] = source.tag
    return said


_KINDS = {
    ForwardSource: "forward",
    HttpSource: "http",
    SyslogSource: "syslog",
    OtlpSource: "vigil_otlp",
    TailSource: "tail",
}


def _parse(parse: Parse) -> str:
    return type(parse).__name__.removesuffix("Parse").lower() + _warning(patterns_of(parse))


def _warning(patterns: Iterable[Pattern]) -> str:
    slow = ", ".join(dict.fromkeys(f"/{p.python.pattern}/" for p in patterns if not p.is_linear))
    return f" (needs backtracking, which a hostile text can make endless: {slow})" if slow else ""


def _redaction(redaction: Redaction) -> Said:
    rules: list[Json] = []
    for rule in redaction.rules:
        fields: list[Json] = [".".join(keys) for keys in rule.fields]
        rules.append({"name": rule.name, "type": rule.kind, "fields": fields, "replacement": rule.replacement})
    return {"at": _at(redaction.place), "tags": redaction.tags.written, "rules": rules}


def _route(name: str, pipeline: Pipeline) -> Said:
    steps: list[Json] = []
    for step in pipeline:
        if isinstance(step, Filter):
            steps.append({"filter": step.tags.written, "does": _filter(step.does)})
        else:
            ends: list[Json] = [*_ends(step.action)]
            steps.append({"match": step.tags.written, "to": ends})
    return {"label": name, "steps": steps}


def _filter(rule: FilterRule) -> str:
    if isinstance(rule, Grep):
        parts = [
            ("all of", rule.regexps),
            ("any of", rule.any_regexps),
            ("none of", rule.excludes),
            ("not all of", rule.all_excludes),
        ]
        return (
            "grep "
            + ", ".join(
                f"{word} {' '.join('.'.join(c.keys) for c in conditions)}" for word, conditions in parts if conditions
            )
            + _warning(c.pattern for c in rule.conditions)
        )
    if isinstance(rule, ParserFilter):
        return f"parser {_parse(rule.parse)} of {'.'.join(rule.key)}"
    return "record_transformer"


def _ends(action: Action) -> Iterator[str]:
    if isinstance(action, Copy):
        for store in action.stores:
            yield from _ends(store)
    elif isinstance(action, Relabel):
        yield f"label {action.label or ROOT}"
    elif isinstance(action, KafkaOutput):
        yield f"topic {action.topic}"
    elif isinstance(action, FileOutput):
        yield f"file {action.path}{'' if action.timekey_s is None else '.TIME'}{action.suffix}"
    else:
        yield "nothing" if isinstance(action, NullOutput) else "standard output"


def _kafka(output: KafkaOutput) -> Said:
    buffer = output.buffer
    return {
        "at": _at(output.place),
        "topic": output.topic,
        "brokers": output.brokers,
        "security": None if output.access is None else str(output.access.protocol),
        "key": output.key_field,
        "compression": output.compression,
        "spool_bytes": buffer.total_limit_size,
        "when_full": buffer.overflow_action,
        "retries": _retries(buffer),
        "secondary": output.secondary,
    }


def _retries(buffer: Buffer) -> str:
    if buffer.retry_forever:
        return "for ever"
    times = "" if buffer.retry_max_times is None else f"{buffer.retry_max_times} times, "
    return f"{times}for {buffer.retry_timeout_s:g} s at most"


def lines(said: Said) -> Iterator[str]:
    """A description as text, for people."""
    for source in _maps(said["sources"]):
        yield f"from  {_source_line(source)}"
    for redaction in _maps(said["redactions"]):
        yield f"redacts, before the disk, in tags {redaction['tags']}  ({redaction['at']})"
        for rule in _maps(redaction["rules"]):
            fields = ", ".join(map(str, rule["fields"])) if isinstance(rule["fields"], list) else ""
            yield f"        {rule['name']}: {rule['type']} in {fields or 'every field'} becomes {rule['replacement']}"
    for route in _maps(said["routes"]):
        if route["steps"]:
            yield "route at the top level" if route["label"] == ROOT else f"route of label {route['label']}"
        for step in _maps(route["steps"]):
            if "filter" in step:
                yield f"        filter {step['filter']}: {step['does']}"
            else:
                ends = ", ".join(map(str, step["to"])) if isinstance(step["to"], list) else ""
                yield f"        match {step['match']}: to {ends}"
    for output in _maps(said["outputs"]):
        yield from _output_lines(output)


def _source_line(source: Said) -> str:
    if source["type"] == "tail":
        paths = ", ".join(map(str, source["paths"])) if isinstance(source["paths"], list) else ""
        text = f"tail {paths} as {source['tag']}, {source['parse']}"
    else:
        transports = " and ".join(map(str, source["transports"])) if isinstance(source["transports"], list) else ""
        text = f"{source['type']} {source['address']}, {transports}"
        text += ", TLS" if source["tls"] else ""
        text += ", client certificates" if source.get("client_certificates") else ""
        text += ", shared key" if source.get("shared_key") else ""
        text += f", {source['users']} users" if source.get("users") else ""
    return text + ("" if source["label"] == ROOT else f", to label {source['label']}") + f"  ({source['at']})"


def _output_lines(output: Said) -> Iterator[str]:
    yield f"topic {output['topic']} of {output['brokers']}, key {output['key']}  ({output['at']})"
    size = int(str(output["spool_bytes"])) / 1024**3
    yield f"        {size:.3g} GiB of the spool; when it is full: {output['when_full']}"
    yield f"        retried {output['retries']}, then to {output['secondary'] or 'no secondary'}"


def _maps(value: Json) -> Iterator[Said]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))
