"""What Fluentd's plugins may be given: each parameter's type, and what of it is done here.

What is accepted and has no effect here is listed where it is read, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streaming.accumulator.configuration import values
from streaming.accumulator.configuration.plan import (
    ROOT,
    Action,
    Condition,
    Copy,
    ForwardSource,
    Grep,
    KafkaOutput,
    NullOutput,
    Relabel,
    Source,
    StdoutOutput,
    TailSource,
)
from streaming.accumulator.configuration.sections import Section, typed

UNUSED = "_unused"
"""The value by which a configuration says that records steer nothing (`topic_key`, `partition_key`, `time_key`):
by default Fluentd lets a record's own field `topic` choose the topic and `time` its time."""

DEFAULT_BUFFER_BYTES = 64 * 1024**3
"""Fluentd's default `total_limit_size` of a file buffer."""


def _label(section: Section) -> str | None:
    """Where events go on; None for the top level, by no name or by Fluentd's name for it."""
    label = section.optional("@label", values.text)
    return None if label == ROOT else label


def _forward(section: Section) -> Source:
    if transport := section.child("transport"):
        if transport.argument not in ("", "tcp"):
            raise transport.error(f"transport {transport.argument!r} is not supported yet; tcp is")
        transport.done()
    # An event that is no [time, record] goes to the dead letters; connections are closed at once at the end.
    section.checked_only(skip_invalid_event=values.boolean, linger_timeout=values.count)
    return ForwardSource(
        section.place,
        _label(section),
        bind=section.get("bind", values.text, "0.0.0.0"),  # noqa: S104 (Fluentd's default; the files say otherwise)
        port=section.get("port", values.port, 24224),
        tag=section.optional("tag", values.text),
        add_tag_prefix=section.optional("add_tag_prefix", values.text),
        chunk_size_limit=section.optional("chunk_size_limit", values.size),
    )


def _tail(section: Section) -> Source:
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
        emit_unmatched_lines=values.one_of("true"),
    )
    if section.get("follow_inodes", values.boolean, False):
        section.required("pos_file", values.text)
    return TailSource(
        section.place,
        _label(section),
        paths=section.required("path", values.tail_paths),
        exclude_paths=section.get("exclude_path", values.excluded_paths, ()),
        tag=section.required("tag", values.tail_tag),
        parse=kind,
        message_key=message_key,
        read_from_head=section.get("read_from_head", values.boolean, False),
        rotate_wait_s=section.get("rotate_wait", values.seconds, 5.0),
    )


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


def _kafka(section: Section) -> Action:
    output = section.child("format")
    if output is not None:
        output.required("@type", values.one_of("json"))
        output.done()
    section.optional("topic_key", values.one_of(UNUSED))
    section.optional("partition_key", values.one_of(UNUSED))
    section.optional("partition_key_key", values.one_of(UNUSED))
    section.optional("required_acks", values.one_of("-1", "all"))
    # Retried by the Kafka client without an end; nothing leaves the spool before Kafka has it.
    section.checked_only(max_send_retries=values.count, ack_timeout=values.seconds, client_id=values.text)
    return KafkaOutput(
        section.place,
        brokers=section.required("brokers", values.brokers),
        topic=_topic(section),
        key_field=section.get("message_key_key", values.text, "message_key"),
        compression=section.optional("compression_codec", values.one_of("gzip", "snappy", "lz4", "zstd")),
        buffer_limit_bytes=_buffer(section.child("buffer")),
        secondary=_secondary(section.child("secondary")),
    )


def _topic(section: Section) -> str:
    """`topic` or `default_topic`, which are the same where records and chunk keys choose none."""
    topic = section.optional("topic", values.topic)
    if topic is None:
        return section.required("default_topic", values.topic)
    if section.optional("default_topic", values.topic) is not None:
        raise section.place_of("default_topic").error("has no effect beside topic", name="default_topic")
    return topic


def _buffer(section: Section | None) -> int:
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
        chunk_limit_records=values.count,
        flush_mode=values.one_of("interval", "immediate", "default", "lazy"),
        flush_interval=values.seconds,
        flush_thread_count=values.count,
        flush_thread_interval=values.number,
        flush_thread_burst_interval=values.number,
        flush_at_shutdown=values.boolean,
        retry_type=values.one_of("exponential_backoff", "periodic"),
        retry_wait=values.seconds,
        retry_max_interval=values.seconds,
        retry_max_times=values.count,
        retry_timeout=values.seconds,
        retry_randomize=values.boolean,
    )
    limit = section.get("total_limit_size", values.size, DEFAULT_BUFFER_BYTES)
    section.done()
    return limit


def _secondary(section: Section | None) -> str | None:
    if section is None:
        return None
    section.required("@type", values.one_of("secondary_file"))
    section.checked_only(at_id=values.text, basename=values.text, append=values.boolean)
    section.optional("compress", values.one_of("text"))
    folder = section.required("directory", values.folder)
    section.done()
    return folder


def _null(section: Section) -> Action:
    section.checked_only(never_flush=values.one_of("false"))
    return NullOutput()


def _stdout(_: Section) -> Action:
    return StdoutOutput()


def _relabel(section: Section) -> Action:
    section.required("@label", values.text)
    return Relabel(section.place, _label(section))


def _copy(section: Section) -> Action:
    section.optional("copy_mode", values.one_of("no_copy", "shallow", "deep", "marshal"))
    stores = section.children("store")
    if not stores:
        raise section.error("no <store>")
    for store in stores:
        if store.argument:
            raise store.error(
                f"{store.argument!r} is not supported: one spool holds the events of all stores, and all wait for one"
            )
    return Copy(tuple(typed(store, OUTPUTS) for store in stores))


SOURCES: Mapping[str, Callable[[Section], Source]] = {"forward": _forward, "tail": _tail}
FILTERS: Mapping[str, Callable[[Section], Grep]] = {"grep": _grep}
OUTPUTS: dict[str, Callable[[Section], Action]] = {
    "kafka2": _kafka,
    "rdkafka2": _kafka,
    "relabel": _relabel,
    "copy": _copy,
    "null": _null,
    "stdout": _stdout,
}
