"""Outputs: their buffers have Fluentd's parameters and defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.accumulator.configuration.plan import Buffer, FileOutput, Match
from streaming.accumulator.configuration.planner import load_plan
from streaming.errors import ConfigError
from streaming.kafka.access import KafkaAccess, Mechanism, Protocol

SOURCE = "<source>\n@type forward\n</source>\n"


def buffer_of(tmp_path: Path, buffer: str) -> Buffer:
    file = tmp_path / "test.conf"
    kafka = f"<match **>\n@type kafka2\nbrokers k:1\ndefault_topic logs\n{buffer}</match>\n"
    file.write_text(SOURCE + kafka)
    (output,) = load_plan(file, {}).kafka_outputs()
    return output.buffer


def access_of(tmp_path: Path, *said: str) -> KafkaAccess | None:
    file = tmp_path / "test.conf"
    file.write_text(
        "\n".join([SOURCE, "<match **>", "@type kafka2", "brokers k:1", "default_topic logs", *said, "</match>\n"])
    )
    (output,) = load_plan(file, {}).kafka_outputs()
    return output.access


@pytest.mark.parametrize(
    ("said", "access"),
    [
        ((), None),
        (("sasl_over_ssl true", "ssl_verify_hostname true"), None),
        (("ssl_ca_certs_from_system true",), KafkaAccess("k:1", Protocol.SSL, Mechanism.PLAIN)),
        (
            ("ssl_ca_cert /ca", "username me", "password hush", "scram_mechanism sha512"),
            KafkaAccess("k:1", Protocol.SASL_SSL, Mechanism.SCRAM_SHA_512, "me", "hush", "/ca"),
        ),
        (
            ("username me", "password hush", "sasl_over_ssl false"),
            KafkaAccess("k:1", Protocol.SASL_PLAINTEXT, Mechanism.PLAIN, "me", "hush"),
        ),
        (
            ("ssl_ca_cert /ca", "ssl_client_cert /cert", "ssl_client_cert_key /key"),
            KafkaAccess("k:1", Protocol.SSL, Mechanism.PLAIN, ca_path="/ca", cert_path="/cert", key_path="/key"),
        ),
    ],
)
def test_tls_and_user_of_kafka_by_the_plugins_names(
    tmp_path: Path, said: tuple[str, ...], access: KafkaAccess | None
) -> None:
    assert access_of(tmp_path, *said) == access


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (("username me",), "username and password go together"),
        (("username me", "password hush"), "a user needs TLS"),
        (("ssl_client_cert /cert",), "ssl_client_cert and ssl_client_cert_key go together"),
        (("ssl_ca_cert /a, /b",), "one file is supported"),
        (("scram_mechanism md5",), "'md5' is not supported"),
        (("ssl_verify_hostname false",), "'false' is not supported"),
    ],
)
def test_half_of_a_user_is_refused_without_its_password(tmp_path: Path, said: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as refused:
        access_of(tmp_path, *said)
    assert "hush" not in str(refused.value)


def test_one_producer_has_one_user(tmp_path: Path) -> None:
    def output(tag: str, user: str) -> str:
        said = f"brokers k:1\ndefault_topic logs\nssl_ca_cert /ca\nusername {user}\npassword hush\n"
        return f"<match {tag}>\n@type kafka2\n{said}</match>\n"

    file = tmp_path / "test.conf"
    file.write_text(SOURCE + output("a", "one") + output("b", "two"))
    with pytest.raises(ConfigError, match="SASL_SSL PLAIN two differs from SASL_SSL PLAIN one") as refused:
        load_plan(file, {})
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("buffer", ["", "<buffer>\n</buffer>\n"])
def test_a_buffer_has_fluentds_defaults(tmp_path: Path, buffer: str) -> None:
    found = buffer_of(tmp_path, buffer)
    assert found == Buffer()
    assert (found.total_limit_size, found.overflow_action) == (64 * 1024**3, "throw_exception")
    assert (found.retry_timeout_s, found.retry_max_times, found.retry_wait_s) == (259200.0, None, 1.0)
    assert (found.retry_exponential_backoff_base, found.retry_max_interval_s) == (2.0, None)
    assert found.retry_randomize
    assert not found.retry_forever


def test_all_that_is_given_is_read(tmp_path: Path) -> None:
    text = """<buffer tag>
      total_limit_size 1g
      overflow_action drop_oldest_chunk
      retry_type periodic
      retry_forever true
      retry_timeout 5m
      retry_max_times 3
      retry_secondary_threshold 0.5
      retry_wait 2
      retry_exponential_backoff_base 3
      retry_max_interval 10
      retry_randomize false
    </buffer>
    """
    assert buffer_of(tmp_path, text) == Buffer(
        1024**3, "drop_oldest_chunk", "periodic", True, 300.0, 3, 0.5, 2.0, 3.0, 10.0, False
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("overflow_action blok", "'blok' is not supported; did you mean block"),
        ("retry_wait 0", "no pause at all"),
        ("retry_secondary_threshold 1", "no part of 1"),
        ("retry_exponential_backoff_base 0.5", "below 1"),
        ("retry_for_ever true", "Did you mean retry_forever"),
        ("retry_max_times -1", "no whole number"),
    ],
)
def test_values_that_make_no_sense_are_refused(tmp_path: Path, given: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        buffer_of(tmp_path, f"<buffer>\n{given}\n</buffer>\n")
    assert caught.value.line == 9


FILE = "<match f>\n@type file\npath /var/log/out\nappend true\n{}</match>\n"
KAFKA = "<match **>\n@type kafka2\nbrokers k:1\ndefault_topic logs\n</match>\n"


def file_of(tmp_path: Path, given: str) -> FileOutput:
    file = tmp_path / "test.conf"
    file.write_text(SOURCE + FILE.format(given) + KAFKA)
    step = load_plan(file, {}).top[0]
    assert isinstance(step, Match)
    assert isinstance(step.action, FileOutput)
    return step.action


@pytest.mark.parametrize(
    ("given", "suffix", "timekey_s", "utc", "format_"),
    [
        ("", ".log", 86_400, False, "out_file"),
        ("<buffer>\n</buffer>\n", ".log", 86_400, False, "out_file"),
        ("<buffer time>\ntimekey 1h\ntimekey_use_utc\n</buffer>\n", ".log", 3_600, True, "out_file"),
        ("<buffer []>\n</buffer>\n<format>\n@type json\n</format>\n", ".log", None, False, "json"),
        ("path_suffix .txt\n", ".txt", 86_400, False, "out_file"),
        ("add_path_suffix no\n", "", 86_400, False, "out_file"),
    ],
)
def test_files_have_fluentds_defaults(
    tmp_path: Path, given: str, suffix: str, timekey_s: int | None, *, utc: bool, format_: str
) -> None:
    found = file_of(tmp_path, given)
    assert (found.suffix, found.timekey_s, found.utc, found.format) == (suffix, timekey_s, utc, format_)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("append false\n", "given twice"),
        ("compress gzip\n", "'gzip' is not supported"),
        ("<format>\n@type csv\n</format>\n", "'csv' is not supported"),
        ("<buffer tag, time>\n</buffer>\n", "chunk keys 'tag, time' are not supported"),
        ("<buffer time>\ntimekey 0\n</buffer>\n", "no whole number of seconds from 1"),
        ("symlink_path /x\n", "symlink_path: unknown parameter"),
    ],
)
def test_files_that_cannot_be_written_so_are_refused(tmp_path: Path, given: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        file_of(tmp_path, given)


def test_a_file_for_each_chunk_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "test.conf"
    file.write_text(SOURCE + FILE.replace("append true\n", "").format("") + KAFKA)
    with pytest.raises(ConfigError, match="append: true is needed"):
        load_plan(file, {})
