"""What a `<source>` may be given.

What is accepted and has no effect here is listed where it is read, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from streaming.accumulator.configuration import values
from streaming.accumulator.configuration.parse import MultilineParse
from streaming.accumulator.configuration.plan import (
    MIB,
    ROOT,
    ForwardSource,
    HttpSource,
    OtlpSource,
    Source,
    SyslogSource,
    TailSource,
)
from streaming.accumulator.configuration.plugins.parse import parse_of
from streaming.accumulator.configuration.plugins.transport import security, transport
from streaming.accumulator.configuration.sections import Section

ANYWHERE = "0.0.0.0"  # noqa: S104 (Fluentd's default of `bind`; this project's files say otherwise)


def label(section: Section) -> str | None:
    """Where events go on; None for the top level, by no name or by Fluentd's name for it."""
    found = section.optional("@label", values.text)
    return None if found == ROOT else found


def _forward(section: Section) -> Source:
    # An event that is no [time, record] goes to the dead letters; connections are closed at once at the end; the
    # built-in server needs none of what steers Fluentd's loop, and asks for no names.
    section.checked_only(
        skip_invalid_event=values.boolean,
        linger_timeout=values.count,
        backlog=values.count,
        blocking_timeout=values.seconds,
        resolve_hostname=values.one_of("false"),
        deny_keepalive=values.one_of("false"),
        send_keepalive_packet=values.boolean,
        chunk_size_warn_limit=values.size,
    )
    _, tls = transport(section, "tcp", "tcp", "tls")
    return ForwardSource(
        section.place,
        label(section),
        bind=section.get("bind", values.text, ANYWHERE),
        port=section.get("port", values.port, 24224),
        tag=section.optional("tag", values.text),
        add_tag_prefix=section.optional("add_tag_prefix", values.text),
        chunk_size_limit=section.optional("chunk_size_limit", values.size),
        tls=tls,
        security=security(section),
    )


def _http(section: Section) -> Source:
    time_key, keep_time_key = "time", False
    if parse := section.child("parse"):
        parse.optional("@type", values.one_of("in_http"))
        time_key = parse.get("time_key", values.text, time_key)
        keep_time_key = parse.get("keep_time_key", values.boolean, False)
        parse.done()
    section.checked_only(
        backlog=values.count,
        blocking_timeout=values.seconds,
        dump_error_log=values.boolean,
        respond_with_empty_img=values.one_of("false"),
    )
    _, tls = transport(section, "tcp", "tcp", "tls")
    return HttpSource(
        section.place,
        label(section),
        bind=section.get("bind", values.text, ANYWHERE),
        port=section.get("port", values.port, 9880),
        body_size_limit=section.get("body_size_limit", values.size, 32 * MIB),
        keepalive_timeout_s=section.get("keepalive_timeout", values.seconds, 10.0),
        add_http_headers=section.get("add_http_headers", values.boolean, False),
        add_remote_addr=section.get("add_remote_addr", values.boolean, False),
        tls=tls,
        decompression_size_limit=section.get("decompression_size_limit", values.size, 256 * MIB),
        add_tag_prefix=section.optional("add_tag_prefix", values.text),
        add_query_params=section.get("add_query_params", values.boolean, False),
        use_204_response=section.get("use_204_response", values.boolean, False),
        time_key=time_key,
        keep_time_key=keep_time_key,
    )


def _syslog(section: Section) -> Source:
    message_format: Literal["rfc3164", "rfc5424", "auto"] = "rfc3164"
    if parse := section.child("parse"):
        parse.optional("@type", values.one_of("syslog"))
        message_format = parse.get("message_format", values.one_of("rfc3164", "rfc5424", "auto"), message_format)
        # The priority makes the tag.
        parse.checked_only(with_priority=values.one_of("true"), parser_engine=values.one_of("regexp", "string"))
        parse.done()
    # Messages that cannot be read are always kept.
    section.checked_only(
        emit_unmatched_lines=values.one_of("true"),
        blocking_timeout=values.seconds,
        send_keepalive_packet=values.boolean,
    )
    protocol, tls = transport(section, section.get("protocol_type", values.one_of("udp", "tcp"), "udp"), *_SYSLOG)
    frames = section.get("frame_type", values.one_of("traditional", "octet_count"), "traditional")
    source_hostname_key = section.optional("source_hostname_key", values.text)
    if source_hostname_key is not None:
        section.optional("resolve_hostname", values.one_of("true"))
    return SyslogSource(
        section.place,
        label(section),
        bind=section.get("bind", values.text, ANYWHERE),
        port=section.get("port", values.port, 5140),
        tag=section.required("tag", values.text),
        protocol="udp" if protocol == "udp" else "tcp",
        message_format=message_format,
        octet_count=frames == "octet_count",
        message_length_limit=section.get("message_length_limit", values.size, 2048),
        severity_key=section.either("severity_key", "priority_key", values.text),
        facility_key=section.optional("facility_key", values.text),
        source_address_key=section.optional("source_address_key", values.text),
        source_hostname_key=source_hostname_key,
        tls=tls,
    )


_SYSLOG = ("udp", "tcp", "tls")


def _otlp(section: Section) -> Source:
    _, tls = transport(section, "tcp", "tcp", "tls")
    return OtlpSource(
        section.place,
        label(section),
        bind=section.get("bind", values.text, ANYWHERE),
        port=section.get("port", values.port, 4318),  # OTLP/HTTP's own
        tag=section.get("tag", values.text, "otlp"),
        body_size_limit=section.get("body_size_limit", values.size, 32 * MIB),
        tls=tls,
    )


def _tail(section: Section) -> Source:
    parse = parse_of(section)
    flush_interval = section.optional("multiline_flush_interval", values.seconds)
    if isinstance(parse, MultilineParse) and parse.first_line is None:
        raise section.error("<parse> of @type multiline needs format_firstline here", field="format_firstline")
    if flush_interval is not None and not isinstance(parse, MultilineParse):
        raise section.place_of("multiline_flush_interval").error(
            "needs <parse> of @type multiline", name="multiline_flush_interval"
        )
    # Positions are kept in the spool's folder, by inode, and new files are seen within a second; lines that cannot be
    # parsed are kept always.
    section.checked_only(
        pos_file=values.text,
        pos_file_compaction_interval=values.seconds,
        refresh_interval=values.seconds,
        emit_unmatched_lines=values.one_of("true"),
        enable_watch_timer=values.boolean,
        enable_stat_watcher=values.boolean,
        open_on_every_update=values.boolean,
        ignore_repeated_permission_error=values.boolean,
        skip_refresh_on_startup=values.boolean,
    )
    if section.get("follow_inodes", values.boolean, False):
        section.required("pos_file", values.text)
    return TailSource(
        section.place,
        label(section),
        paths=section.required("path", values.tail_paths),
        exclude_paths=section.get("exclude_path", values.excluded_paths, ()),
        tag=section.required("tag", values.tail_tag),
        parse=parse,
        read_from_head=section.get("read_from_head", values.boolean, False),
        rotate_wait_s=section.get("rotate_wait", values.seconds, 5.0),
        multiline_flush_interval_s=flush_interval,
    )


SOURCES: Mapping[str, Callable[[Section], Source]] = {
    "forward": _forward,
    "http": _http,
    "syslog": _syslog,
    "tail": _tail,
    "vigil_otlp": _otlp,
}
