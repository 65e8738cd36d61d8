"""From the tree of a configuration to its plan: every plugin's parameters, checked."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from streaming.accumulator import values
from streaming.accumulator.config import Element, Place, parse_file
from streaming.accumulator.plan import (
    Action,
    Condition,
    Copy,
    Filter,
    ForwardSource,
    Grep,
    KafkaOutput,
    Match,
    NullOutput,
    Pipeline,
    Plan,
    Relabel,
    Source,
    StdoutOutput,
    TailSource,
    actions,
)
from streaming.errors import ConfigError

T = TypeVar("T")

UNUSED = "_unused"
"""The value by which a configuration says that records steer nothing (`topic_key`, `partition_key`, `time_key`):
by default Fluentd lets a record's own field `topic` choose the topic and `time` its time."""

DEFAULT_BUFFER_BYTES = 64 * 1024**3
"""Fluentd's default `total_limit_size` of a file buffer."""

BUILTIN_LABELS = ("@FLUENT_LOG", "@ERROR", "@ROOT")
"""Labels Fluentd itself sends to; the built-in accumulator has no events for them."""


def load_plan(path: Path, environment: Mapping[str, str]) -> Plan:
    """Reads and checks a configuration.

    Raises:
        ConfigError: names file, line and reason, with the nearest known word where a word is unknown.
    """
    return build_plan(parse_file(path, environment))


def build_plan(root: Element) -> Plan:
    """The plan of a parsed configuration. Raises `ConfigError`."""
    top = _Section(root)
    for system in top.children("system"):
        _system(system)
    sources = tuple(_typed(s, _SOURCES) for s in top.children("source"))
    labels: dict[str, Pipeline] = {}
    for label in top.children("label"):
        name = label.argument
        if not name.startswith("@"):
            raise label.error("a label's name begins with @", field="label")
        labels[name] = labels.get(name, ()) + _pipeline(label)
    plan = Plan(sources, _pipeline(top), labels)
    _check(plan, root.place)
    return plan


class _Section:
    """Reads the parameters of an element and knows afterwards which were not asked for."""

    def __init__(self, element: Element) -> None:
        self._element = element
        self._asked_parameters: dict[str, None] = {}
        self._asked_elements: dict[str, None] = {}
        self.name, self.argument, self.place = element.name, element.argument, element.place
        self.order = [(e.name, _Section(e)) for e in element.elements]

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """A parameter's value, or None where it is not given."""
        self._asked_parameters[name] = None
        given = self._element.parameters.get(name)
        if given is None:
            return None
        try:
            return read(given.value)
        except ValueError as error:
            raise given.place.error(str(error), name=name) from error

    def get(self, name: str, read: Callable[[str], T], default: T) -> T:
        """A parameter's value, or the default."""
        found = self.optional(name, read)
        return default if found is None else found

    def required(self, name: str, read: Callable[[str], T]) -> T:
        """A parameter that must be there."""
        found = self.optional(name, read)
        if found is None:
            raise self.error("is required", field=name)
        return found

    def checked_only(self, **readers: Callable[[str], object]) -> None:
        """Parameters whose values must be right for Fluentd and change nothing here."""
        for name, read in readers.items():
            self.optional(f"@{name[3:]}" if name.startswith("at_") else name, read)

    def children(self, name: str) -> list[_Section]:
        """Nested sections of a name, in order."""
        self._asked_elements[name] = None
        return [section for child, section in self.order if child == name]

    def child(self, name: str) -> _Section | None:
        """The one nested section of a name, if there is one."""
        found = self.children(name)
        if len(found) > 1:
            raise found[1].error(f"a second <{name}>")
        return found[0] if found else None

    def done(self) -> None:
        """Refuses what nobody asked for."""
        for name, given in self._element.parameters.items():
            if name not in self._asked_parameters:
                raise given.place.error("unknown parameter", name=name, remedy=_nearest(name, self._asked_parameters))
        for name, section in self.order:
            if name not in self._asked_elements:
                raise section.error(f"<{name}> is unknown here", remedy=_nearest(name, self._asked_elements))

    def error(self, reason: str, *, field: str | None = None, remedy: str | None = None) -> ConfigError:
        """An error about this section."""
        return self.place.error(reason, name=field or (f"<{self.name}>" if self.name else None), remedy=remedy)


def _nearest(word: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]}?" if close else f"Known here: {', '.join(known) or 'none'}"


def _typed(section: _Section, kinds: Mapping[str, Callable[[_Section], T]]) -> T:
    kind = section.required("@type", values.text)
    make = kinds.get(kind)
    if make is None:
        place = section._element.parameters["@type"].place
        raise place.error(f"{kind!r} is not supported", name="@type", remedy=_nearest(kind, kinds))
    section.checked_only(at_id=values.text, at_log_level=values.text)
    made = make(section)
    section.done()
    return made


def _system(section: _Section) -> None:
    # Of Fluentd's own process: where it keeps its buffers, how it logs.
    section.checked_only(root_dir=values.text, log_level=values.text, process_name=values.text)
    section.optional("workers", values.one_of("1"))
    section.done()


def _label(section: _Section) -> str | None:
    return section.optional("@label", values.text)


def _forward(section: _Section) -> Source:
    if transport := section.child("transport"):
        if transport.argument not in ("", "tcp"):
            raise transport.error(f"transport {transport.argument!r} is not supported yet; tcp is")
        transport.done()
    # An event that is no [time, record] goes to the dead letters; connections are closed at once at the end.
    section.checked_only(skip_invalid_event=values.boolean, linger_timeout=values.seconds)
    return ForwardSource(
        section.place,
        _label(section),
        bind=section.get("bind", values.text, "0.0.0.0"),  # noqa: S104 (Fluentd's default; the files say otherwise)
        port=section.get("port", values.port, 24224),
        tag=section.optional("tag", values.text),
        add_tag_prefix=section.optional("add_tag_prefix", values.text),
        chunk_size_limit=section.optional("chunk_size_limit", values.size),
    )


def _tail(section: _Section) -> Source:
    parse = section.child("parse")
    if parse is None:
        raise section.error("<parse> is required")
    kind = parse.required("@type", values.one_of("json", "none"))
    message_key = parse.get("message_key", values.text, "message") if kind == "none" else "message"
    if kind == "json":
        # Fluentd would take a field `time` out of the record and drop the line where it cannot read it.
        parse.required("time_key", values.one_of(UNUSED))
    parse.done()
    # Positions are kept in the spool's folder, by inode, and new files are seen within a second; lines that are
    # no JSON are kept always.
    section.checked_only(
        pos_file=values.text,
        refresh_interval=values.seconds,
        follow_inodes=values.boolean,
        emit_unmatched_lines=values.one_of("true"),
    )
    return TailSource(
        section.place,
        _label(section),
        paths=_list(section.required("path", values.text)),
        exclude_paths=_list(section.get("exclude_path", values.text, "")),
        tag=section.required("tag", values.text),
        parse=kind,
        message_key=message_key,
        read_from_head=section.get("read_from_head", values.boolean, False),
        rotate_wait_s=section.get("rotate_wait", values.seconds, 5.0),
    )


def _list(text: str) -> tuple[str, ...]:
    parts = text.removeprefix("[").removesuffix("]").split(",")
    return tuple(cleaned for p in parts if (cleaned := p.strip().strip("\"'")))


def _grep(section: _Section) -> Grep:
    grep = Grep(_conditions(section, "regexp"), _conditions(section, "exclude"))
    if not grep.regexps and not grep.excludes:
        raise section.error("neither <regexp> nor <exclude>")
    return grep


def _conditions(section: _Section, name: str) -> tuple[Condition, ...]:
    found = []
    for condition in section.children(name):
        found.append(
            Condition(condition.required("key", values.key_path), condition.required("pattern", values.regexp))
        )
        condition.done()
    return tuple(found)


def _kafka(section: _Section) -> Action:
    output = section.child("format")
    if output is not None:
        output.required("@type", values.one_of("json"))
        output.done()
    section.optional("topic_key", values.one_of(UNUSED))
    section.optional("partition_key", values.one_of(UNUSED))
    section.optional("partition_key_key", values.one_of(UNUSED))
    section.optional("required_acks", values.one_of("-1", "all"))
    # Retried by the Kafka client without an end; nothing leaves the spool before Kafka has it.
    section.checked_only(max_send_retries=values.integer, ack_timeout=values.seconds, client_id=values.text)
    return KafkaOutput(
        section.place,
        brokers=section.required("brokers", values.text),
        topic=section.required("default_topic", values.text),
        key_field=section.get("message_key_key", values.text, "message_key"),
        compression=section.optional("compression_codec", values.one_of("gzip", "snappy", "lz4", "zstd")),
        buffer_limit_bytes=_buffer(section.child("buffer")),
        secondary=_secondary(section.child("secondary")),
    )


def _buffer(section: _Section | None) -> int:
    """The limit of the buffer's size. The built-in accumulator has one spool, before the routes, instead of a buffer
    for each output: what says how Fluentd cuts and flushes chunks is checked and changes nothing."""
    if section is None:
        return DEFAULT_BUFFER_BYTES
    section.optional("@type", values.one_of("file"))
    section.optional("overflow_action", values.one_of("block"))
    if section.argument not in ("", "tag"):
        raise section.error(f"chunk keys {section.argument!r} are not supported; tag is")
    section.checked_only(
        at_id=values.text,
        path=values.text,
        chunk_limit_size=values.size,
        chunk_limit_records=values.integer,
        flush_mode=values.one_of("interval", "immediate", "default", "lazy"),
        flush_interval=values.seconds,
        flush_thread_count=values.integer,
        flush_thread_interval=values.seconds,
        flush_thread_burst_interval=values.seconds,
        flush_at_shutdown=values.boolean,
        retry_type=values.one_of("exponential_backoff", "periodic"),
        retry_wait=values.seconds,
        retry_max_interval=values.seconds,
        retry_max_times=values.integer,
        retry_timeout=values.seconds,
        retry_randomize=values.boolean,
    )
    limit = section.get("total_limit_size", values.size, DEFAULT_BUFFER_BYTES)
    section.done()
    return limit


def _secondary(section: _Section | None) -> str | None:
    if section is None:
        return None
    section.required("@type", values.one_of("secondary_file"))
    section.checked_only(at_id=values.text, basename=values.text, append=values.boolean)
    section.optional("compress", values.one_of("text"))
    folder = section.required("directory", values.text)
    section.done()
    return folder


def _null(section: _Section) -> Action:
    section.checked_only(never_flush=values.one_of("false"))
    return NullOutput()


def _stdout(_: _Section) -> Action:
    return StdoutOutput()


def _relabel(section: _Section) -> Action:
    return Relabel(section.place, section.required("@label", values.text))


def _copy(section: _Section) -> Action:
    section.optional("copy_mode", values.one_of("no_copy", "shallow", "deep", "marshal"))
    stores = section.children("store")
    if not stores:
        raise section.error("no <store>")
    return Copy(tuple(_typed(store, _OUTPUTS) for store in stores))


_SOURCES: Mapping[str, Callable[[_Section], Source]] = {"forward": _forward, "tail": _tail}
_FILTERS: Mapping[str, Callable[[_Section], Grep]] = {"grep": _grep}
_OUTPUTS: dict[str, Callable[[_Section], Action]] = {
    "kafka2": _kafka,
    "rdkafka2": _kafka,
    "relabel": _relabel,
    "copy": _copy,
    "null": _null,
    "stdout": _stdout,
}


def _pipeline(section: _Section) -> Pipeline:
    steps: list[Filter | Match] = []
    section.children("filter")
    section.children("match")
    for name, child in section.order:
        if name == "filter":
            steps.append(Filter(_tags(child), _typed(child, _FILTERS)))
        elif name == "match":
            steps.append(Match(_tags(child), _typed(child, _OUTPUTS)))
    section.done()
    return tuple(steps)


def _tags(section: _Section) -> values.TagPattern:
    try:
        return values.tag_patterns(section.argument)
    except ValueError as error:
        raise section.error(str(error)) from error


def _check(plan: Plan, place: Place) -> None:
    """What holds between sections: labels that exist and do not lead in circles, one Kafka, something to do."""
    if not plan.sources:
        raise place.error("no <source>: nothing would be received")
    for source in plan.sources:
        if source.label is not None:
            _known_label(source.label, plan, source.place)
    for pipeline in (plan.top, *plan.labels.values()):
        for action in actions(pipeline):
            if isinstance(action, Relabel):
                _known_label(action.label, plan, action.place)
    for name in plan.labels:
        _follow(name, plan, ())
    outputs = plan.kafka_outputs()
    if not outputs:
        raise place.error("no <match> of @type kafka2: nothing would be delivered")
    for output in outputs:
        if output.brokers != outputs[0].brokers:
            raise output.place.error(
                f"brokers {output.brokers} differ from {outputs[0].brokers}; one accumulator serves one Kafka"
            )


def _known_label(name: str, plan: Plan, place: Place) -> None:
    if name not in plan.labels:
        raise place.error(f"there is no <label {name}>", name="@label", remedy=_nearest(name, plan.labels))


def _follow(name: str, plan: Plan, path: tuple[str, ...]) -> None:
    for action in actions(plan.labels[name]):
        if isinstance(action, Relabel):
            if action.label in (*path, name):
                raise action.place.error(f"labels in a circle: {' -> '.join((*path, name, action.label))}")
            _follow(action.label, plan, (*path, name))
