"""Listening sources: Fluentd's parameters, defaults and refusals."""

from __future__ import annotations

import ssl
from ipaddress import ip_network
from pathlib import Path

import pytest

from streaming.accumulator.configuration.plan import (
    Client,
    ForwardSource,
    HttpSource,
    OtlpSource,
    Plan,
    SyslogSource,
    User,
)
from streaming.accumulator.configuration.planner import load_plan
from streaming.errors import ConfigError

KAFKA = "<match **>\n  @type kafka2\n  brokers k:1\n  default_topic logs\n</match>\n"
TLS = "<transport tls>\ncert_path /c.pem\nprivate_key_path /k.pem\n{}</transport>\n"


def plan_of(tmp_path: Path, *sources: str) -> Plan:
    file = tmp_path / "test.conf"
    file.write_text("".join(f"<source>\n@type {source}</source>\n" for source in sources) + KAFKA)
    return load_plan(file, {})


def test_http_has_fluentds_defaults(tmp_path: Path) -> None:
    (source,) = plan_of(tmp_path, "http\n").sources
    assert isinstance(source, HttpSource)
    assert (source.bind, source.port, source.body_size_limit) == ("0.0.0.0", 9880, 32 * 1024**2)
    assert (source.keepalive_timeout_s, source.time_key, source.keep_time_key) == (10.0, "time", False)
    assert not source.add_http_headers
    assert source.tls is None


def test_http_takes_what_fluentd_takes(tmp_path: Path) -> None:
    text = "http\nport 9\nadd_http_headers\nadd_tag_prefix web\n<parse>\n@type in_http\ntime_key t\n</parse>\n"
    (source,) = plan_of(tmp_path, text).sources
    assert isinstance(source, HttpSource)
    assert (source.port, source.add_http_headers, source.add_tag_prefix, source.time_key) == (9, True, "web", "t")


def test_syslog_has_fluentds_defaults(tmp_path: Path) -> None:
    (source,) = plan_of(tmp_path, "syslog\ntag s\n").sources
    assert isinstance(source, SyslogSource)
    assert (source.port, source.protocol, source.message_format) == (5140, "udp", "rfc3164")
    assert (source.octet_count, source.message_length_limit) == (False, 2048)


@pytest.mark.parametrize(
    ("transport", "protocol", "tls"),
    [
        ("protocol_type tcp\n", "tcp", False),
        ("<transport tcp>\n</transport>\n", "tcp", False),
        ("<transport udp>\n</transport>\n", "udp", False),
        (TLS.format(""), "tcp", True),
    ],
)
def test_syslog_by_each_transport(tmp_path: Path, transport: str, protocol: str, *, tls: bool) -> None:
    (source,) = plan_of(tmp_path, f"syslog\ntag s\npriority_key p\nframe_type octet_count\n{transport}").sources
    assert isinstance(source, SyslogSource)
    assert (source.protocol, source.tls is not None, source.octet_count) == (protocol, tls, True)
    assert source.severity_key == "p"


def test_otlp_listens_on_its_own_port(tmp_path: Path) -> None:
    (source,) = plan_of(tmp_path, "vigil_otlp\n@label @ROOT\n").sources
    assert isinstance(source, OtlpSource)
    assert (source.port, source.tag, source.label) == (4318, "otlp", None)


@pytest.mark.parametrize(
    ("versions", "lowest", "highest"),
    [
        ("", "TLSv1_2", "TLSv1_2"),
        ("version TLSv1_3\n", "TLSv1_3", "TLSv1_3"),
        ("min_version TLS1_2\nmax_version TLSv1_3\n", "TLSv1_2", "TLSv1_3"),
    ],
)
def test_versions_of_tls_are_fluentds(tmp_path: Path, versions: str, lowest: str, highest: str) -> None:
    (source,) = plan_of(tmp_path, "forward\n" + TLS.format(versions)).sources
    assert isinstance(source, ForwardSource)
    assert source.tls
    assert (source.tls.min_version, source.tls.max_version) == (ssl.TLSVersion[lowest], ssl.TLSVersion[highest])
    assert (source.tls.cert_path, source.tls.private_key_path) == ("/c.pem", "/k.pem")


SECURITY = """forward
<security>
  self_hostname here
  shared_key secret
  user_auth true
  <user>
    username ann
    password pass
  </user>
  <client>
    network 10.1.2.3/8
    shared_key other
    users ann
  </client>
  <client>
    host 127.0.0.1
  </client>
</security>
"""


def test_security_names_users_and_clients(tmp_path: Path) -> None:
    (source,) = plan_of(tmp_path, SECURITY).sources
    assert isinstance(source, ForwardSource)
    found = source.security
    assert found
    assert (found.self_hostname, found.shared_key, found.user_auth) == ("here", "secret", True)
    assert found.allow_anonymous_source
    assert found.users == (User("ann", "pass"),)
    assert found.clients == (
        Client(ip_network("10.0.0.0/8"), "other", ("ann",)),
        Client(ip_network("127.0.0.1"), None, ()),
    )
    assert not {"secret", "pass", "other"} & set(repr(source).replace("'", " ").split())


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        ("forward\n<transport tsl>\n</transport>\n", 3, "transport 'tsl' is not supported; tcp or tls"),
        ("forward\n<transport tls>\n</transport>\n", 3, "cert_path: is required"),
        ("forward\n" + TLS.format("max_version TLS1_3\n"), 6, "max_version: needs min_version too"),
        ("forward\n" + TLS.format("version TLSv1_1\n"), 6, "'TLSv1_1' is not supported"),
        ("forward\n" + TLS.format("client_cert_auth true\n"), 6, "ca_path: needs ca_path"),
        ("forward\n" + TLS.format("min_version TLS1_3\nmax_version TLS1_2\n"), 6, "is above max_version"),
        ("forward\n" + TLS.format("ca_cert_path /x\n"), 6, "unknown parameter"),
        ("forward\n" + TLS.format("insecure true\n"), 6, "'true' is not supported"),
        (SECURITY.replace("forward", "http"), 3, "<security> is unknown here"),
        (SECURITY.replace("users ann", "users bob"), 14, "there is no <user> 'bob'"),
        (SECURITY.replace("host 127.0.0.1", ""), 16, "needs host or network"),
        (SECURITY.replace("network 10.1.2.3/8", "network ten"), 12, "no network"),
        ("forward\n<security>\nself_hostname a\nshared_key b\nuser_auth\n</security>\n", 6, "needs <user> sections"),
        (
            "forward\n<security>\nself_hostname a\nshared_key b\nallow_anonymous_source no\n</security>\n",
            6,
            "false needs <client>",
        ),
        ("forward\ndeny_keepalive true\n", 3, "'true' is not supported"),
        ("http\n<parse>\n@type json\n</parse>\n", 4, "'json' is not supported; in_http"),
        ("http\ncors_allow_origins *\n", 3, "unknown parameter"),
        ("syslog\n", 1, "tag: is required"),
        ("syslog\ntag s\n<parse>\nmessage_format rfc5242\n</parse>\n", 5, "did you mean rfc5424"),
        ("syslog\ntag s\nemit_unmatched_lines false\n", 4, "'false' is not supported"),
        ("syslog\ntag s\nseverity_key a\npriority_key b\n", 5, "is the same as severity_key"),
    ],
)
def test_what_a_source_does_not_know_is_refused(tmp_path: Path, source: str, line: int, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        plan_of(tmp_path, source)
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [
        ("syslog\ntag s\nport 9880\n", "http\n", True),
        ("syslog\ntag s\nport 9880\n<transport tcp>\n</transport>\n", "http\n", False),
        ("syslog\ntag s\nport 24224\n", "forward\n", False),
        ("vigil_otlp\nport 24224\nbind 127.0.0.1\n", "forward\n", False),
    ],
)
def test_ports_of_udp_and_tcp_are_two(tmp_path: Path, first: str, second: str, *, fits: bool) -> None:
    if fits:
        assert len(plan_of(tmp_path, first, second).sources) == 2
        return
    with pytest.raises(ConfigError, match=r"is taken by the <source> in test\.conf:1"):
        plan_of(tmp_path, first, second)
