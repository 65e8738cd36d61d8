"""Mail against a strict server: what is mailed, as which thread, and what a fault leaves open."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from pydantic import SecretStr

from streaming.alerting.messages import Action, IncidentState, Notification, Severity
from streaming.alerting.receivers import email, email_parts
from streaming.alerting.receivers.base import Delivered, ShowsLife, Undelivered
from streaming.alerting.receivers.email import EmailReceiver
from streaming.alerting.receivers.email_parts import compose, html_of, text_of
from streaming.alerting.rules import routes
from tests.support.certificates import Certificates
from tests.support.fake_smtp import PASSWORD, USER, FakeSmtp, fault_of
from tests.support.incidents import AT_MS, Told, a_notification, an_incident, hostile_notifications, receipt_of

SENDER, TO = "vigil@alerts.example", ("ops@example.com", "dev@example.com")


@pytest.fixture(scope="module")
def running() -> Iterator[FakeSmtp]:
    with FakeSmtp.running() as fake:
        yield fake


@pytest.fixture
def server(running: FakeSmtp) -> FakeSmtp:
    running.reset()
    return running


def receiver(
    port: int,
    security: str = "none",
    host: str = "127.0.0.1",
    user: str = "",
    password: str | None = None,
    **more: object,
) -> EmailReceiver:
    config = routes.EmailReceiver.model_validate(
        {"name": "mail", "kind": "email", "host": host, "port": port, "security": security, "username": user}
        | {"sender": SENDER, "to": TO}
        | more
    )
    return EmailReceiver(
        config, password=None if password is None else SecretStr(password), people={"ada": "ada@example.com"}
    )


def failure(one: EmailReceiver, notification: Notification | None = None) -> Undelivered:
    with pytest.raises(Undelivered) as error:
        one.deliver(notification or a_notification(), None, False)
    assert PASSWORD not in str(error.value)
    return error.value


# ------------------------------------------------------------------------------------------ what it says


def test_a_mail(server: FakeSmtp) -> None:
    receiver(server.port).deliver(a_notification(mentions=("ada", "bob")), None, False)
    (mail,) = server.mails
    message = mail.message
    assert (mail.sender, mail.recipients) == (SENDER, [*TO, "ada@example.com"])
    assert message["From"] == "Vigil ERROR <vigil@alerts.example>"
    assert (message["To"], message["Cc"]) == ("ops@example.com, dev@example.com", "ada@example.com")
    assert message["Subject"] == "payment E42: gateway timed out [ABCDEFGHIJ]"
    assert message["Message-ID"] == "<vigil.ABCDEFGHIJ@alerts.example>"
    assert message["Date"].datetime.timestamp() * 1000 == AT_MS
    assert message["Auto-Submitted"] == "auto-generated"
    assert (message["X-Vigil-Action"], message["X-Vigil-State"]) == ("open", "firing")
    assert mail.text.replace("\r\n", "\n") == TEXT
    assert '<a href="https://wiki.example/gateway">Run book</a>' in mail.html
    assert "gateway timed out after 3000 ms" in mail.html


TEXT = """\
ERROR: payment E42: gateway timed out

  gateway timed out after 3000 ms
  connect timed out

Service     payment
Node        payment-1
Level       ERROR
Error code  E42
Events      3
First seen  2026-09-21 14:13:19 UTC
Last seen   2026-09-21 14:13:20 UTC
State       firing
Severity    error
On call     ada, bob
Owner       checkout
Trace       4bf92f3577b34da6a3ce929d0e0e4736
Log         log-1
Group       error.code=E42, service.name=payment
Rule        gateway
Incident    ABCDEFGHIJ

Run book: https://wiki.example/gateway
"""


def test_one_thread(server: FakeSmtp) -> None:
    """Equal subjects and a common root, whatever becomes of the title: Gmail wants the one, others the other."""
    told = Told(receiver(server.port))
    told.of(a_notification())
    told.of(a_notification(Action.UPDATE, version=2, count=50))
    told.of(a_notification(Action.UPDATE, version=3, severity=Severity.CRITICAL, title="payment E43: worse"))
    told.of(a_notification(Action.UPDATE, version=4, severity=Severity.CRITICAL, state=IncidentState.ACKNOWLEDGED))
    told.of(a_notification(Action.UPDATE, version=5, severity=Severity.CRITICAL, state=IncidentState.ACKNOWLEDGED))
    told.of(a_notification(Action.UPDATE, version=6, severity=Severity.CRITICAL))
    told.of(a_notification(Action.REPEAT, version=7, severity=Severity.CRITICAL))
    told.of(a_notification(Action.UPDATE, version=8, severity=Severity.CRITICAL, state=IncidentState.SILENCED))
    told.of(a_notification(Action.RESOLVE, version=9, severity=Severity.CRITICAL))
    told.of(a_notification(Action.UPDATE, version=10, state=IncidentState.RESOLVED))
    told.of(a_notification(Action.REOPEN, version=11, reopened=1))
    told.of(a_notification(Action.ESCALATE, version=12, reopened=1))
    messages = [mail.message for mail in server.mails]
    assert [(m["X-Vigil-Action"], m["From"].addresses[0].display_name) for m in messages] == [
        ("open", "Vigil ERROR"),
        ("update", "Vigil CRITICAL"),  # became worse
        ("update", "Vigil ACKNOWLEDGED"),
        ("update", "Vigil CRITICAL"),  # given back
        ("repeat", "Vigil CRITICAL"),
        ("resolve", "Vigil RESOLVED"),
        ("reopen", "Vigil ERROR"),
        ("escalate", "Vigil ERROR"),
    ]
    assert len({m["Subject"] for m in messages}) == 1
    assert len({m["Message-ID"] for m in messages}) == len(messages)
    root = messages[0]["Message-ID"]
    assert messages[0]["References"] is None
    assert {m["References"] for m in messages[1:]} == {root}
    assert [m["In-Reply-To"] for m in messages[1:]] == [m["Message-ID"] for m in messages[:-1]]
    assert [m["Importance"] for m in messages] == [None, "high", None, "high", "high", None, None, None]
    assert "RESOLVED: payment E42" in server.mails[5].text


def test_who_was_called_hears_that_it_is_over(server: FakeSmtp) -> None:
    told = Told(receiver(server.port))
    told.of(a_notification(mentions=("ada", "nobody-known")))
    told.of(a_notification(Action.UPDATE, version=2))
    told.of(a_notification(Action.RESOLVE, version=3))
    assert [mail.recipients for mail in server.mails] == [[*TO, "ada@example.com"]] * 2


def test_the_first_that_a_receiver_hears_of_it_may_be_anything(server: FakeSmtp) -> None:
    receiver(server.port).deliver(a_notification(Action.ESCALATE, version=5), None, False)
    (mail,) = server.mails
    assert mail.message["Message-ID"] == "<vigil.ABCDEFGHIJ.0.5.escalate@alerts.example>"
    assert mail.message["In-Reply-To"] == mail.message["References"] == "<vigil.ABCDEFGHIJ@alerts.example>"


def test_an_opening_that_is_read_again_is_not_mailed_again(server: FakeSmtp) -> None:
    """After a crash, and what came later has merged with it."""
    told = Told(receiver(server.port))
    told.of(a_notification())
    told.of(a_notification(version=2, count=9), look_first=True)
    assert len(server.mails) == 1
    told.of(a_notification(version=3, severity=Severity.CRITICAL), look_first=True)
    assert [mail.message["Message-ID"] for mail in server.mails] == [
        "<vigil.ABCDEFGHIJ@alerts.example>",
        "<vigil.ABCDEFGHIJ.0.3.open@alerts.example>",
    ]


def test_a_receipt_of_another_kind_of_receiver_under_this_name(server: FakeSmtp) -> None:
    receipt = receipt_of(a_notification(), Delivered("1.1\r\nBcc: evil@example.com", "C0123456789"))
    receiver(server.port).deliver(a_notification(Action.RESOLVE, version=2), receipt, False)
    receipt.channel = '{"subject": "a\\r\\nBcc: evil@example.com"}'
    receiver(server.port).deliver(a_notification(Action.RESOLVE, version=3), receipt, False)
    for mail in server.mails:
        assert mail.recipients == list(TO)
        assert mail.message["Bcc"] is None
        assert mail.message["In-Reply-To"] == "<vigil.ABCDEFGHIJ@alerts.example>"


def test_a_sign_of_life(server: FakeSmtp) -> None:
    one = receiver(server.port)
    assert isinstance(one, ShowsLife)
    one.alive(AT_MS, 60)
    (mail,) = server.mails
    assert mail.message["Subject"] == "Vigil is alive"
    assert "within 60 s" in mail.text


def test_long_domains_and_other_alphabets_keep_ids_readable() -> None:
    """Headers fold; ids may not be encoded, or threads break."""
    sender = "vigil@" + "a-very-long-name-of-a-subdomain." * 5 + "example"
    receipt = receipt_of(a_notification(), Delivered(f"<vigil.ABCDEFGHIJ@{sender.partition('@')[2]}>"))
    message = compose(a_notification(Action.RESOLVE, title="Überlauf 💥 " * 20), receipt, sender, TO, {})
    raw = message.as_bytes()
    assert fault_of(raw) is None
    for name in (b"Message-ID", b"In-Reply-To", b"References"):
        assert re.search(rb"\r\n" + name + rb":(\r\n)? <vigil\.[^=\s]+>\r\n", raw), name


def test_the_same_notification_is_the_same_mail() -> None:
    assert (
        compose(a_notification(), None, SENDER, TO, {}).as_bytes()
        == compose(a_notification(), None, SENDER, TO, {}).as_bytes()
    )


# --------------------------------------------------------------------------------------- hostile content


class _Html(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        assert all(name in ("style", "charset", "href") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_html_of_a_log_is_text() -> None:
    evil = "</pre><script>alert(1)</script><img src=x onerror=alert(1)><a href='https://evil'>bank</a>{{ 7*7 }}"
    sample = msgspec.structs.replace(an_incident().sample, message=evil, service=evil, error_message=None)
    page = _Html(html_of(a_notification(title=evil, text=evil, reason=evil, sample=sample)))
    assert set(page.tags) <= {"html", "head", "meta", "body", "h2", "p", "pre", "table", "tr", "td", "a"}
    assert page.links == ["https://wiki.example/gateway"]
    assert evil in page.texts


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(hostile_notifications())
def test_whatever_the_log_says(server: FakeSmtp, notification: Notification) -> None:
    server.reset()
    receiver(server.port).deliver(notification, None, True)
    if notification.action is Action.UPDATE and not server.mails:
        return
    (mail,) = server.mails
    assert mail.recipients == list(TO)
    known = {"from", "to", "subject", "message-id", "date", "auto-submitted", "in-reply-to", "references"}
    known |= {"importance", "content-type", "mime-version", "x-vigil-incident", "x-vigil-rule", "x-vigil-action"}
    known |= {"x-vigil-severity", "x-vigil-state"}
    assert {name.lower() for name in mail.message} <= known, "no text makes a header"
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", mail.text)
    assert set(_Html(mail.html).tags) <= {"html", "head", "meta", "body", "h2", "p", "pre", "table", "tr", "td", "a"}
    assert mail.text.replace("\r\n", "\n").rstrip() == text_of(notification).replace("\r", "\n").rstrip()


@pytest.mark.parametrize(
    "word",
    [
        "=?utf-8?q?x=0D=0AReply-To:_evil=40b.example=0D=0A=0D=0Abody?=",
        "=?utf-8?b?eA0KUmVwbHktVG86IGV2aWxAYi5leGFtcGxlDQoNCmJvZHk=?=",
        "==??utf-8?q?x=0D=0AReply-To:_evil=40b.example?=",
        "=?utf-7?q?+2AA-?=",
        "=?utf-8?q?=ED=A0=80?= =?no-such-charset?q?x?=",
    ],
)
def test_encoded_words_of_logs_are_text(server: FakeSmtp, word: str) -> None:
    told = Told(receiver(server.port))
    told.of(a_notification(title=word, rule_id=word, incident_id=word))
    told.of(a_notification(Action.RESOLVE, version=2, title=word, rule_id=word, incident_id=word))
    told.of(a_notification(Action.REOPEN, version=3, title="", rule_id=word, incident_id=word))
    for mail in server.mails:
        assert "Reply-To" not in mail.message
        assert mail.message["Subject"].startswith(word.replace("=?", "= ?"))
        assert mail.message["X-Vigil-Rule"] == word.replace("=?", "= ?")[: len(mail.message["X-Vigil-Rule"])]
        assert "Events " in mail.text
    assert len(server.mails) == 3


def test_an_old_subject_with_encoded_words_is_text(server: FakeSmtp) -> None:
    kept = '{"subject":"=?utf-8?q?x=0D=0AReply-To:_evil=40b.example?=","copies":[]}'
    receipt = receipt_of(a_notification(), Delivered("<vigil.ABCDEFGHIJ@alerts.example>", kept))
    receiver(server.port).deliver(a_notification(Action.RESOLVE, version=2), receipt, False)
    assert server.mails[0].message["Reply-To"] is None


def test_what_cannot_be_written_is_this_message_s_fault(server: FakeSmtp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email_parts, "html_of", lambda *_: "\ud800")
    receiver(server.port).deliver(a_notification(), None, False)
    assert server.mails[0].html == "", "a plain mail beats none"
    monkeypatch.setattr(email_parts, "text_of", lambda *_, plain: "\ud800")
    found = failure(receiver(server.port))
    assert (found.reason, found.only_this, found.misconfigured) == ("bad_content", True, False)


# ------------------------------------------------------------------------------------------------ faults


def test_an_unknown_outcome_is_sent_again_as_the_same_mail(server: FakeSmtp) -> None:
    told = Told(receiver(server.port))
    server.faults.cut_after = 1
    with pytest.raises(Undelivered) as error:
        told.of(a_notification())
    assert error.value.unknown
    told.of(a_notification(), look_first=True)
    first, second = server.mails
    assert first.raw == second.raw, "at least once, under one Message-ID"


def test_cut_and_slow(server: FakeSmtp, monkeypatch: pytest.MonkeyPatch) -> None:
    server.faults.cut_before = 1
    assert failure(receiver(server.port)).unknown
    monkeypatch.setattr(email, "TIMEOUT_S", 0.1)
    server.faults.delay_s = 0.5
    assert failure(receiver(server.port)).unknown


@pytest.mark.parametrize(
    ("command", "reply", "kind"),
    [
        ("MAIL", "451 4.3.0 later", ""),
        ("MAIL", "550 5.7.1 not from you", "misconfigured"),
        ("MAIL", "552 5.3.4 too large", "only_this"),
        ("MAIL", "530 5.7.0 authenticate first", "misconfigured"),
        ("DATA", "451 4.3.0 later", ""),
        ("DATA", "421 4.3.2 shutting down", ""),
    ],
)
def test_what_an_answer_means(server: FakeSmtp, command: str, reply: str, kind: str) -> None:
    # Twice, since what is refused for its content is sent once more without it.
    server.faults.replies[command] = [reply, reply]
    found = failure(receiver(server.port))
    assert found.reason == f"smtp_{reply[:3]}"
    assert {name for name in ("misconfigured", "only_this", "unknown") if getattr(found, name)} == {kind} - {""}
    assert found.wait_s is None


def test_refused_content_goes_as_plain_text(server: FakeSmtp) -> None:
    server.faults.replies["DATA"] = ["554 5.7.1 looks like spam"]
    receiver(server.port).deliver(a_notification(), None, False)
    (mail,) = server.mails
    assert mail.html == ""
    assert "gateway timed out after" not in mail.text
    assert "payment E42: gateway timed out" in mail.text
    server.faults.replies["DATA"] = ["554 5.7.1 looks like spam"] * 2
    found = failure(receiver(server.port))
    assert found.only_this
    assert not found.unknown


def test_whom_the_server_refuses(server: FakeSmtp) -> None:
    server.faults.refused = {TO[0]: "550 5.1.1 no such user"}
    receiver(server.port).deliver(a_notification(), None, False)
    assert server.mails[0].recipients == [TO[1]]
    server.faults.refused = dict.fromkeys(TO, "550 5.1.1 no such user")
    assert failure(receiver(server.port)).misconfigured
    server.faults.refused[TO[1]] = "450 4.2.0 grey"
    found = failure(receiver(server.port))
    assert (found.misconfigured, found.reason) == (False, "smtp_450")


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = failure(receiver(port))
    assert (found.reason, found.unknown) == ("unreachable", False)
    assert "no such host" in str(failure(receiver(25, "starttls", "no-such-host.invalid")))


def test_without_tls_only_to_this_machine() -> None:
    found = failure(receiver(25, "none", "mail.example"))
    assert (found.reason, found.misconfigured) == ("plain_smtp", True)


def test_an_address_that_is_none(server: FakeSmtp) -> None:
    for address in ("a>b@example.com", "a,b@example.com"):
        found = failure(receiver(server.port, to=[address]))
        assert (found.reason, found.misconfigured) == ("bad_address", True)
        assert failure(receiver(server.port, sender=address)).misconfigured
    assert server.mails == []


# ------------------------------------------------------------------------------------------ TLS and login


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("smtp"))


@pytest.fixture(scope="module")
def tls(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.path("server"), certificates.path("server-key"))
    return context


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # it does not see TLS from the start
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_tls_and_login(
    security: str, tls: ssl.SSLContext, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeSmtp.running(tls=tls, implicit=security == "tls", login=True) as server:
        one = receiver(server.port, security, "localhost", USER, PASSWORD)
        found = failure(one)
        assert (found.reason, found.misconfigured, found.unknown) == ("bad_certificate", True, False)
        monkeypatch.setenv("SSL_CERT_FILE", certificates.path("ca"))
        assert failure(receiver(server.port, security, "127.0.0.1", USER, PASSWORD)).reason == "bad_certificate"
        one.check()
        one.deliver(a_notification(), None, False)
        assert [mail.encrypted for mail in server.mails] == [True]
        found = failure(receiver(server.port, security, "localhost", USER, "wrong"))
        assert (found.reason, found.misconfigured) == ("smtp_535", True)
        with pytest.raises(Undelivered, match="535"):
            receiver(server.port, security, "localhost", USER, "wrong").check()
        assert failure(receiver(server.port, security, "localhost", USER, "würong")).reason == "bad_secret"
        assert failure(receiver(server.port, security, "localhost")).reason == "smtp_530"


def test_a_server_without_starttls_gets_nothing(server: FakeSmtp) -> None:
    found = failure(receiver(server.port, "starttls", "localhost", USER, PASSWORD))
    assert (found.reason, found.misconfigured) == ("not_offered", True)
    assert server.mails == []
    assert server.logins == []


def test_the_size_that_a_server_takes(server: FakeSmtp) -> None:
    with FakeSmtp.running(size=1_500) as small:
        # Named in MAIL, so that it is refused before it is sent; without its details it fits.
        receiver(small.port).deliver(a_notification(), None, False)
        assert small.mails[0].html == ""


def test_receipts_that_cannot_be_read() -> None:
    receipt = receipt_of(a_notification(), Delivered(None, "\ud800{"))
    assert compose(a_notification(Action.RESOLVE), receipt, SENDER, TO, {})["Subject"]
