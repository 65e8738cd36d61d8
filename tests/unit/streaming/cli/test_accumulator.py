"""`vigil accumulator check`, and running as the default."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streaming.cli.accumulator import app
from streaming.errors import ConfigError
from streaming.settings import CHECKOUT

CONF = str(CHECKOUT / "fluentd" / "fluent2.conf")


@pytest.fixture(autouse=True)
def defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIGIL_CONFIG", "/dev/null")


def test_check_says_what_was_understood() -> None:
    result = CliRunner().invoke(app, ["check", CONF, "--json"], catch_exceptions=False)
    said = json.loads(result.output)
    assert [output["topic"] for output in said["outputs"]] == ["logs", "heartbeats", "registrations"]
    assert [(s["type"], s["transports"], s["tls"]) for s in said["sources"]] == [("forward", ["tcp", "udp"], False)]
    assert [route["label"] for route in said["routes"]] == [
        "@ROOT",
        "@FLUENT_LOG",
        "@LOGS",
        "@HEARTBEATS",
        "@REGISTRATIONS",
    ]
    assert said["redactions"] == []
    text = CliRunner().invoke(app, ["check", CONF], catch_exceptions=False).output
    assert "match **: to label @LOGS, label @HEARTBEATS, label @REGISTRATIONS" in text
    assert "retried 12 times" in text


EVERYTHING = """
<source>
  @type forward
  <security>
    self_hostname here
    shared_key do-not-say
    user_auth true
    <user>
      username ann
      password do-not-say
    </user>
  </security>
</source>
<source>
  @type syslog
  tag sys
</source>
<source>
  @type tail
  path /a.log
  tag a
  <parse>
    @type regexp
    expression /(?<a>.)/
  </parse>
</source>
<filter sys.**>
  @type vigil_redact
  <rule>
    type email
    fields message
  </rule>
</filter>
<filter a>
  @type record_transformer
  remove_keys b
</filter>
<filter a>
  @type parser
  key_name c
  <parse>
    @type none
  </parse>
</filter>
<match a>
  @type copy
  <store>
    @type file
    path /var/out
    append true
  </store>
  <store>
    @type null
  </store>
</match>
<match **>
  @type kafka2
  brokers k:1
  default_topic logs
  <buffer>
    retry_forever true
  </buffer>
</match>
"""


def test_check_says_everything_but_secrets(tmp_path: Path) -> None:
    (tmp_path / "x.conf").write_text(EVERYTHING)
    text = CliRunner().invoke(app, ["check", str(tmp_path / "x.conf")], catch_exceptions=False).output
    for part in (
        "forward 0.0.0.0:24224, tcp and udp, shared key, 1 users  (x.conf:2)",
        "syslog 0.0.0.0:5140, udp  (x.conf:14)",
        "tail /a.log as a, regexp  (x.conf:18)",
        "redacts, before the disk, in tags sys.**  (x.conf:27)",
        "email: email in message becomes [email]",
        "filter a: record_transformer",
        "filter a: parser none of c",
        "match a: to file /var/out.TIME.log, nothing",
        "64 GiB of the spool; when it is full: throw_exception",
        "retried for ever",
    ):
        assert part in text
    said = CliRunner().invoke(app, ["check", str(tmp_path / "x.conf"), "--json"], catch_exceptions=False).output
    assert "do-not-say" not in text + said
    json.loads(said)


def test_check_names_patterns_that_a_text_can_make_slow(tmp_path: Path) -> None:
    grep = "<filter a>\n@type grep\n<regexp>\nkey m\npattern /a(?=b)/\n</regexp>\n</filter>\n"
    (tmp_path / "x.conf").write_text(EVERYTHING.replace("<filter a>", grep + "<filter a>", 1))
    text = CliRunner().invoke(app, ["check", str(tmp_path / "x.conf")], catch_exceptions=False).output
    assert "grep all of m (needs backtracking, which a hostile text can make endless: /a(?=b)/)" in text
    assert text.count("backtracking") == 1


def test_check_reads_certificates(tmp_path: Path) -> None:
    tls = "<transport tls>\ncert_path /none.pem\nprivate_key_path /none.pem\n</transport>\n"
    (tmp_path / "x.conf").write_text(EVERYTHING.replace("@type syslog\n", f"@type syslog\n{tls}"))
    with pytest.raises(ConfigError, match=r"x\.conf:16: cert_path: cannot be used \(/none\.pem"):
        CliRunner().invoke(app, ["check", str(tmp_path / "x.conf")], catch_exceptions=False)


def test_check_refuses_with_place_and_reason(tmp_path: Path) -> None:
    (tmp_path / "x.conf").write_text("<sauce>\n</sauce>\n")
    with pytest.raises(ConfigError, match=r"x\.conf:1: <sauce>: .*Did you mean source"):
        CliRunner().invoke(app, ["check", str(tmp_path / "x.conf")], catch_exceptions=False)


def test_a_file_alone_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[Path, str | None, int]] = []
    monkeypatch.setattr("streaming.accumulator.__main__.start", lambda *a: given.append(a))
    CliRunner().invoke(app, [CONF, "--slot", "1"], catch_exceptions=False)
    assert given == [(Path(CONF), None, 1)]
