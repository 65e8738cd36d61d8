"""Mail by SMTP: one thread of mails for each incident.

At least once: when the connection breaks after the mail was handed over, nobody knows whether the server took it, and
it is sent again, under the same Message-ID, by which many servers and programs show it once.
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from email.errors import MessageError
from email.message import EmailMessage

from pydantic import SecretStr

from streaming.alerting.messages import Notification, Receipt
from streaming.alerting.receivers.base import Delivered, Undelivered
from streaming.alerting.receivers.email_parts import BadAddress, compose, compose_alive, is_mailed, kept_of
from streaming.alerting.receivers.facts import Pages, no_pages
from streaming.alerting.receivers.http_post import is_loopback
from streaming.alerting.rules import routes
from streaming.alerting.text import one_line
from streaming.worker.logs import logger

log = logger(__name__)

TIMEOUT_S = 15.0
"""Of connecting and of each answer. RFC 5321 would wait minutes; a lane that waits so long tells nobody of anything
else, and the mail is sent again."""

QUIT_S = 1.0
"""The mail is taken when the server says so; whether it says good-bye does not matter."""


class _Refused(Undelivered):
    """This mail cannot be written, or the server does not take it."""


class EmailReceiver:
    """Writes to the addresses of its entry, and to those on call whom a notification names. A connection for each
    mail. Without `security` only to this machine: mails hold log texts, and the password would be readable on the way.
    """

    def __init__(
        self,
        config: routes.EmailReceiver,
        *,
        password: SecretStr | None,
        people: Mapping[str, str] | None = None,
        pages: Pages = no_pages,
    ) -> None:
        self.name = config.name
        self._config, self._password, self._pages = config, password, pages
        self._people = dict(people or {})
        self._own_name: str | None = None

    def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:  # noqa: ARG002
        """Mails the notification, if it is worth a mail.

        Raises:
            Undelivered: it was not taken, or nobody knows.
        """
        if not is_mailed(notification, receipt):
            return Delivered() if receipt is None else Delivered(receipt.message_id, receipt.channel)
        try:
            message = self._composed(notification, receipt)
            self.send(message)
        except _Refused:
            # For its HTML, or for what the log says: a plain mail beats none.
            message = self._composed(notification, receipt, plain=True)
            self.send(message)
        return Delivered(str(message["Message-ID"]), kept_of(message))

    def alive(self, at_ms: int, every_s: float) -> None:
        """Mails a sign of life.

        Raises:
            Undelivered: it was not taken, or nobody knows.
        """
        with composing():
            message = compose_alive(at_ms, every_s, self._config.sender, self._config.to)
        self.send(message)

    def check(self) -> None:
        """Connects and, where there is a user, logs in.

        Raises:
            Undelivered: the server cannot be reached, or does not let it in.
        """
        with self._session():
            pass

    def _composed(self, notification: Notification, receipt: Receipt | None, *, plain: bool = False) -> EmailMessage:
        with composing():
            return compose(
                notification,
                receipt,
                self._config.sender,
                self._config.to,
                self._people,
                self._pages,
                plain=plain,
            )

    def send(self, message: EmailMessage) -> None:
        """One mail in one session. Whom the server refuses is left out, as long as it takes one recipient.

        Raises:
            Undelivered: nobody got it, or nobody knows.
        """
        with composing():
            body = message.as_bytes()
        recipients = [
            address.addr_spec for name in ("To", "Cc") if message[name] for address in message[name].addresses
        ]
        with self._session() as client:
            size = [f"size={len(body)}"] if client.has_extn("size") else []
            code, text = client.mail(self._config.sender, size)
            if code != 250:
                raise self._answered(code, text, misconfigured=code != 552)
            self._name_recipients(client, recipients)
            try:
                code, text = client.data(body)
            except smtplib.SMTPDataError as refusal:
                raise self._answered(refusal.smtp_code, refusal.smtp_error) from None
            except (smtplib.SMTPServerDisconnected, OSError) as error:
                raise Undelivered("no_answer", f"{self._place}: {_why(error)}", unknown=True) from None
            if code != 250:
                raise self._answered(code, text, unknown=code < 400)

    def _name_recipients(self, client: smtplib.SMTP, recipients: Sequence[str]) -> None:
        refused: list[tuple[int, bytes]] = []
        for address in recipients:
            code, text = client.rcpt(address)
            if code not in (250, 251):
                refused.append((code, text))
        if len(refused) == len(recipients):
            # What may pass (a full mailbox, a grey list) is worth another attempt.
            code, text = min(refused)
            raise self._answered(code, text, misconfigured=True)
        if refused:
            code, text = min(refused)
            log.warning("recipients refused", receiver=self.name, refused=len(refused), reason=f"{code} {_said(text)}")

    @contextlib.contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """A connection that the server lets write.

        Raises:
            Undelivered: there is none.
        """
        config = self._config
        if config.security == "none" and not is_loopback(config.host):
            raise Undelivered("plain_smtp", f"{self._place}: security: none is for this machine", misconfigured=True)
        try:
            client = self._connect()
        except smtplib.SMTPConnectError as refusal:
            raise self._answered(refusal.smtp_code, refusal.smtp_error) from None
        except (smtplib.SMTPException, OSError) as error:
            raise self._unreached(error) from None
        try:
            self._enter(client)
            yield client
            _quit(client)
        except (smtplib.SMTPServerDisconnected, OSError) as error:
            raise self._unreached(error) from None
        finally:
            client.close()

    def _connect(self) -> smtplib.SMTP:
        config = self._config
        if config.security == "tls":
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                config.host, config.port, self._own_name, timeout=TIMEOUT_S, context=ssl.create_default_context()
            )
        else:
            client = smtplib.SMTP(config.host, config.port, self._own_name, timeout=TIMEOUT_S)
        # Finding it out may take a name server's time, each time.
        self._own_name = client.local_hostname
        return client

    def _enter(self, client: smtplib.SMTP) -> None:
        """TLS and login. Where the server offers no TLS, nothing is sent."""
        config = self._config
        try:
            client.ehlo_or_helo_if_needed()
            if config.security == "starttls":
                client.starttls(context=ssl.create_default_context())
                client.ehlo_or_helo_if_needed()
            if config.username:
                client.login(config.username, self._password.get_secret_value() if self._password else "")
        except smtplib.SMTPNotSupportedError as error:
            raise Undelivered("not_offered", f"{self._place}: {_why(error)}", misconfigured=True) from None
        except smtplib.SMTPResponseException as refusal:
            raise self._answered(refusal.smtp_code, refusal.smtp_error, misconfigured=True) from None
        except UnicodeError:
            # The error would show the password.
            raise Undelivered("bad_secret", "user and password must be ASCII", misconfigured=True) from None

    def _answered(
        self, code: int, text: bytes | str, *, misconfigured: bool = False, unknown: bool = False
    ) -> Undelivered:
        """What an answer other than yes means: 4xx passes, 5xx does not; what is none leaves all open."""
        detail = f"{self._place} answered {code} {self._hidden(_said(text))}"
        if not 500 <= code < 600:
            return Undelivered(f"smtp_{code}", detail, unknown=unknown)
        if misconfigured or code in (530, 535, 538):
            return Undelivered(f"smtp_{code}", detail, misconfigured=True)
        return _Refused(f"smtp_{code}", detail, only_this=True)

    def _unreached(self, error: Exception) -> Undelivered:
        bad = isinstance(error, ssl.SSLCertVerificationError)
        reason = "bad_certificate" if bad else "unreachable"
        return Undelivered(reason, f"{self._place}: {_why(error)}", misconfigured=bad)

    def _hidden(self, text: str) -> str:
        password = self._password.get_secret_value() if self._password else ""
        return text.replace(password, "***") if password else text

    @property
    def _place(self) -> str:
        return f"{self._config.host}:{self._config.port}"


@contextlib.contextmanager
def composing() -> Iterator[None]:
    """Around what makes a mail.

    Raises:
        Undelivered: an address is none, which a person must mend; or the mail cannot say this, which others can.
    """
    try:
        yield
    except BadAddress as error:
        raise Undelivered("bad_address", f"an address is none: {error}", misconfigured=True) from None
    except (ValueError, MessageError) as error:
        raise _Refused("bad_content", one_line(str(error), 200) or type(error).__name__, only_this=True) from None


def _quit(client: smtplib.SMTP) -> None:
    with contextlib.suppress(smtplib.SMTPException, OSError):
        if client.sock is not None:
            client.sock.settimeout(QUIT_S)
        client.quit()


def _said(text: bytes | str) -> str:
    return one_line(text.decode("utf-8", "replace") if isinstance(text, bytes) else text, 200)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, socket.gaierror):
        return "no such host"
    return one_line(str(getattr(error, "strerror", None) or error), 200) or type(error).__name__
