"""What a `<match>` or `<store>` may be given.

What is accepted and has no effect here is listed where it is read, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable

from streaming.accumulator.configuration import values
from streaming.accumulator.configuration.plan import (
    Action,
    Buffer,
    Copy,
    FileFormat,
    FileOutput,
    KafkaOutput,
    NullOutput,
    Relabel,
    StdoutOutput,
)
from streaming.accumulator.configuration.plugins.sources import label
from streaming.accumulator.configuration.sections import Section, typed
from streaming.kafka.access import KafkaAccess, Mechanism, Protocol

UNUSED = "_unused"
"""The value by which a configuration says that records steer nothing (`topic_key`, `partition_key`): by default Fluentd
lets a record's own field `topic` choose the topic."""


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
    brokers = section.required("brokers", values.brokers)
    return KafkaOutput(
        section.place,
        brokers=brokers,
        access=_access(section, brokers),
        topic=_topic(section),
        key_field=section.get("message_key_key", values.text, "message_key"),
        compression=section.optional("compression_codec", values.one_of("gzip", "snappy", "lz4", "zstd")),
        buffer=_buffer(section.child("buffer")),
        secondary=_secondary(section.child("secondary")),
    )


def _access(section: Section, brokers: str) -> KafkaAccess | None:
    """TLS and user, under fluent-plugin-kafka's names; None where nothing is said of them."""
    authorities = section.optional("ssl_ca_cert", values.array) or ()
    if len(authorities) > 1:
        raise section.place_of("ssl_ca_cert").error("one file is supported; put them into one", name="ssl_ca_cert")
    of_system = section.get("ssl_ca_certs_from_system", values.boolean, False)
    certificate = section.optional("ssl_client_cert", values.text)
    key = section.optional("ssl_client_cert_key", values.text)
    section.optional("ssl_verify_hostname", values.one_of("true"))
    user, password = section.optional("username", values.text), section.optional("password", str)
    scram = section.optional("scram_mechanism", values.one_of("sha256", "sha512"))
    over_tls = section.get("sasl_over_ssl", values.boolean, True)
    if (user is None) != (password is None):
        raise section.error("username and password go together")
    if (certificate is None) != (key is None):
        raise section.error("ssl_client_cert and ssl_client_cert_key go together")
    tls = bool(authorities) or of_system or certificate is not None
    if user is not None and over_tls and not tls:
        raise section.error("a user needs TLS: ssl_ca_cert, or ssl_ca_certs_from_system true, or sasl_over_ssl false")
    if not tls and user is None:
        return None
    return KafkaAccess(
        brokers,
        _PROTOCOLS[tls, user is not None],
        _MECHANISMS[scram],
        user or "",
        password or "",
        authorities[0] if authorities else "",
        certificate or "",
        key or "",
    )


_PROTOCOLS = {
    (True, True): Protocol.SASL_SSL,
    (True, False): Protocol.SSL,
    (False, True): Protocol.SASL_PLAINTEXT,
}
_MECHANISMS = {"sha512": Mechanism.SCRAM_SHA_512, "sha256": Mechanism.SCRAM_SHA_256, None: Mechanism.PLAIN}
"""fluent-plugin-kafka's default is a plain password."""


def _topic(section: Section) -> str:
    """`topic` or `default_topic`, which are the same where records and chunk keys choose none."""
    topic = section.optional("topic", values.topic)
    if topic is None:
        return section.required("default_topic", values.topic)
    if section.optional("default_topic", values.topic) is not None:
        raise section.place_of("default_topic").error("has no effect beside topic", name="default_topic")
    return topic


def _buffer(section: Section | None) -> Buffer:
    """The limits of the buffer and its retries. The built-in accumulator has one spool, before the routes, instead of
    a buffer for each output: what says how Fluentd cuts and flushes chunks is checked and changes nothing."""
    default = Buffer()
    if section is None:
        return default
    if section.argument not in ("", "tag"):
        raise section.error(f"chunk keys {section.argument!r} are not supported; tag is")
    _common_buffer(section)
    made = Buffer(
        total_limit_size=section.get("total_limit_size", values.size, default.total_limit_size),
        overflow_action=section.get(
            "overflow_action", values.one_of("throw_exception", "block", "drop_oldest_chunk"), default.overflow_action
        ),
        retry_type=section.get("retry_type", values.one_of("exponential_backoff", "periodic"), default.retry_type),
        retry_forever=section.get("retry_forever", values.boolean, default.retry_forever),
        retry_timeout_s=section.get("retry_timeout", values.seconds, default.retry_timeout_s),
        retry_max_times=section.optional("retry_max_times", values.count),
        retry_secondary_threshold=section.get(
            "retry_secondary_threshold", values.share, default.retry_secondary_threshold
        ),
        retry_wait_s=section.get("retry_wait", values.wait, default.retry_wait_s),
        retry_exponential_backoff_base=section.get(
            "retry_exponential_backoff_base", values.backoff_base, default.retry_exponential_backoff_base
        ),
        retry_max_interval_s=section.optional("retry_max_interval", values.wait),
        retry_randomize=section.get("retry_randomize", values.boolean, default.retry_randomize),
    )
    section.done()
    return made


def _common_buffer(section: Section) -> None:
    """What says how Fluentd cuts chunks and sends them off."""
    section.optional("@type", values.one_of("file"))
    section.checked_only(
        at_id=values.text,
        path=values.text,
        chunk_limit_size=values.size,
        chunk_limit_records=values.count,
        chunk_full_threshold=values.number,
        queued_chunks_limit_size=values.count,
        compress=values.one_of("text", "gzip", "zstd"),
        delayed_commit_timeout=values.seconds,
        flush_mode=values.one_of("interval", "immediate", "default", "lazy"),
        flush_interval=values.seconds,
        flush_thread_count=values.count,
        flush_thread_interval=values.number,
        flush_thread_burst_interval=values.number,
        flush_at_shutdown=values.boolean,
    )


def _secondary(section: Section | None) -> str | None:
    if section is None:
        return None
    section.required("@type", values.one_of("secondary_file"))
    section.checked_only(at_id=values.text, basename=values.text, append=values.boolean)
    section.optional("compress", values.one_of("text"))
    folder = section.required("directory", values.folder)
    section.done()
    return folder


def _file(section: Section) -> Action:
    section.checked_only(compress=values.one_of("text"), recompress=values.boolean)
    if not section.get("append", values.boolean, False):
        raise section.error("true is needed: files of one chunk each are not supported", field="append")
    suffix = section.get("path_suffix", str, ".log")
    timekey, utc = _timekey(section.child("buffer"))
    format_, message_key = _file_format(section.child("format"))
    return FileOutput(
        section.place,
        section.required("path", _file_path),
        suffix if section.get("add_path_suffix", values.boolean, True) else "",
        timekey,
        utc,
        format_,
        message_key,
    )


DAY_S = 86_400
"""Fluentd's default `timekey` of a file."""


def _timekey(section: Section | None) -> tuple[int | None, bool]:
    """How many seconds of events share a file (None: all), and whether its name is in UTC."""
    if section is None:
        return DAY_S, False
    keys = [key.strip() for key in section.argument.strip("[]").split(",") if key.strip()] or (
        [] if section.argument == "[]" else ["time"]
    )
    if keys not in (["time"], ["tag"], []):
        raise section.error(f"chunk keys {section.argument!r} are not supported; time, or [] for one file")
    _common_buffer(section)
    # A file is one for all chunks of its time, so when a chunk leaves makes no difference.
    section.checked_only(timekey_wait=values.seconds)
    timekey = section.get("timekey", _whole_seconds, DAY_S)
    utc = section.get("timekey_use_utc", values.boolean, False)
    section.done()
    return (timekey if keys == ["time"] else None), utc


def _file_path(text: str) -> str:
    if "*" in text:
        raise ValueError(f"* in {text!r} is not supported: the time stands behind the path")
    return values.folder(text)


def _whole_seconds(text: str) -> int:
    found = values.seconds(text)
    if not found or found != int(found):
        raise ValueError(f"{text!r} is no whole number of seconds from 1")
    return int(found)


def _file_format(section: Section | None) -> tuple[FileFormat, str]:
    if section is None:
        return "out_file", "message"
    known: Callable[[str], FileFormat] = values.one_of("out_file", "json", "single_value")
    kind = section.required("@type", known)
    message_key = section.get("message_key", values.text, "message") if kind == "single_value" else "message"
    section.optional("newline", values.one_of("lf"))
    if kind == "single_value":
        section.optional("add_newline", values.one_of("true"))
    section.done()
    return kind, message_key


def _null(section: Section) -> Action:
    section.checked_only(never_flush=values.one_of("false"))
    return NullOutput()


def _stdout(_: Section) -> Action:
    return StdoutOutput()


def _relabel(section: Section) -> Action:
    section.required("@label", values.text)
    return Relabel(section.place, label(section))


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


OUTPUTS: dict[str, Callable[[Section], Action]] = {
    "kafka2": _kafka,
    "file": _file,
    "rdkafka2": _kafka,
    "relabel": _relabel,
    "copy": _copy,
    "null": _null,
    "stdout": _stdout,
}
