"""The mail of a report, and to whom it goes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from streaming.alerting.receivers.email_parts import BadAddress
from streaming.alerting.rules.loading import load_rules
from streaming.alerting.rules.ruleset import RuleSet
from streaming.errors import ConfigError
from streaming.reports.mail import compose, receiver_of, recipients_of
from streaming.reports.store import HTML, PDF, PICTURE
from streaming.settings import Settings
from tests.support.fake_smtp import fault_of
from tests.support.reports import sample_report

RULES = """
receivers:
  - {name: post, kind: email, host: mail.example, sender: vigil@example.org, to: [ops@example.org, dev@example.org]}
  - {name: hook, kind: webhook, url: "https://example.org/hook"}
"""


@pytest.fixture
def rules(tmp_path: Path) -> RuleSet:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    return load_rules(file)


def settings(receiver: str, to: str = "") -> Settings:
    return Settings.model_construct(report_mail_receiver=receiver, report_mail_to=to)


def test_a_mail_is_one_that_a_strict_server_takes() -> None:
    report = sample_report()
    files = {HTML: b"<p>" + b"x" * 5_000, PDF: b"%PDF-\xff\0", PICTURE: b"png"}
    message = compose(report, files, "vigil@example.org", ["ops@example.org", "dev@example.org"])
    assert fault_of(message.as_bytes()) is None
    assert message["Subject"] == "Error report: Sunday, 25 October 2026: 1,372 errors"
    assert message["To"] == "ops@example.org, dev@example.org"
    attached = {part.get_filename(): part.get_content() for part in message.iter_attachments()}
    assert attached[f"{report.id}-report.pdf"] == files[PDF]
    assert attached[f"{report.id}-report.html"].encode() == files[HTML]
    assert len(attached) == 2
    body = message.get_body(("plain",))
    assert body is not None
    assert "Errors: 1,372" in body.get_content()


def test_a_report_that_is_built_again_is_another_mail_of_the_same_thread() -> None:
    first = compose(sample_report(), {}, "vigil@example.org", ["ops@example.org"])
    report = sample_report()
    again = compose(
        msgspec.structs.replace(report, shown_ms=report.shown_ms + 1), {}, "vigil@example.org", ["o@example.org"]
    )
    assert first["Message-ID"] != again["Message-ID"]
    assert first["References"] == again["References"]


def test_recipients_are_those_of_the_settings_else_those_of_the_receiver(rules: RuleSet) -> None:
    config = receiver_of(settings("post"), rules)
    assert recipients_of(settings("post"), config) == ["ops@example.org", "dev@example.org"]
    assert recipients_of(settings("post", " boss@example.org ,, a@example.org"), config) == [
        "boss@example.org",
        "a@example.org",
    ]


def test_a_receiver_that_cannot_mail_is_named(rules: RuleSet) -> None:
    with pytest.raises(
        ConfigError, match=r"VIGIL_REPORT_MAIL_RECEIVER: receiver hook is of kind webhook.*There are: post"
    ):
        receiver_of(settings("hook"), rules)
    with pytest.raises(ConfigError, match=r"no receiver 'mial'. There are: post"):
        receiver_of(settings("mial"), rules)


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(BadAddress):
        compose(sample_report(), {}, "vigil@example.org", ["nobody"])
