"""A strict mail server on a loopback port (aiosmtpd), which can be told to misbehave.

What it enforces: STARTTLS and AUTH where it wants them, its size limit, lines of at most 998 bytes, seven-bit text
(it offers no 8BITMIME bodies without their being asked for), CRLF alone, and mails that RFC 5322 calls mails: From,
Date and Message-ID once each, and no header twice.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "vigil", "s3cret-PASSWORD"
SIZE_LIMIT = 200_000


@dataclass
class Mail:
    """One mail that the server took."""

    sender: str
    recipients: list[str]
    raw: bytes
    encrypted: bool

    @property
    def message(self) -> EmailMessage:
        parsed = message_from_bytes(self.raw, policy=POLICY)
        assert isinstance(parsed, EmailMessage)
        return parsed

    @property
    def text(self) -> str:
        return self._part("plain")

    @property
    def html(self) -> str:
        return self._part("html")

    def _part(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return "" if part is None else str(part.get_content())


@dataclass
class SmtpFaults:
    """What is to go wrong next; each is used up but `delay_s` and `refused`."""

    replies: dict[str, list[str]] = field(default_factory=dict)
    """Answers to the next MAIL, RCPT and DATA, by command."""
    refused: dict[str, str] = field(default_factory=dict)
    """Answers to RCPT by address."""
    cut_before: int = 0
    """So many mails are cut before they are taken."""
    cut_after: int = 0
    """So many mails are taken, and then the connection is cut without an answer."""
    delay_s: float = 0.0


class FakeSmtp:
    """`mails` in order. `tls` is a server's context: offered by STARTTLS, or spoken from the start (`implicit`)."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        login: bool = False,
        size_limit: int = SIZE_LIMIT,
    ) -> None:
        self.mails, self.faults, self.logins = list[Mail](), SmtpFaults(), list[str]()
        self.commands = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

        def protocol() -> SMTP:
            return SMTP(
                self,
                hostname="mail.example",
                loop=self._loop,
                data_size_limit=size_limit,
                tls_context=None if implicit else tls,
                require_starttls=tls is not None and not implicit,
                auth_required=login,
                auth_require_tls=not implicit,
                authenticator=self._authenticate,
            )

        async def listen() -> asyncio.Server:
            return await self._loop.create_server(protocol, "127.0.0.1", 0, ssl=tls if implicit else None)

        self._server = asyncio.run_coroutine_threadsafe(listen(), self._loop).result(5)
        self.port = int(self._server.sockets[0].getsockname()[1])

    @classmethod
    @contextmanager
    def running(
        cls, *, tls: ssl.SSLContext | None = None, implicit: bool = False, login: bool = False, size: int = SIZE_LIMIT
    ) -> Iterator[FakeSmtp]:
        fake = cls(tls=tls, implicit=implicit, login=login, size_limit=size)
        try:
            yield fake
        finally:
            fake.close()

    def close(self) -> None:
        async def stop() -> None:
            self._server.close()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def reset(self) -> None:
        self.mails.clear()
        self.logins.clear()
        self.faults = SmtpFaults()

    # ------------------------------------------------------------------------- hooks of aiosmtpd

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self._planned("MAIL")
        if reply:
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.faults.refused.get(address) or self._planned("RCPT")
        if reply:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        await asyncio.sleep(self.faults.delay_s)
        reply = self._planned("DATA")
        if reply:
            return reply
        if self.faults.cut_before:
            self.faults.cut_before -= 1
            return _cut(server)
        raw = envelope.original_content or b""
        fault = fault_of(raw)
        if fault:
            return f"554 5.6.0 {fault}"
        assert server.transport is not None
        encrypted = server.transport.get_extra_info("ssl_object") is not None
        self.mails.append(Mail(envelope.mail_from or "", list(envelope.rcpt_tos), raw, encrypted))
        if self.faults.cut_after:
            self.faults.cut_after -= 1
            return _cut(server)
        return "250 OK"

    def _planned(self, command: str) -> str | None:
        planned = self.faults.replies.get(command)
        return planned.pop(0) if planned else None

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(mechanism)
        good = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=good, handled=good)


def fault_of(raw: bytes) -> str | None:
    """Why a strict server would not take this mail."""
    if re.search(rb"(?<!\r)\n|\r(?!\n)", raw):
        return "bare CR or LF"
    if not raw.isascii() or b"\0" in raw:
        return "8-bit data"
    if any(len(line) > 998 for line in raw.split(b"\r\n")):
        return "line too long"
    names = [name.lower() for name in message_from_bytes(raw, policy=POLICY)]
    for name in ("from", "date", "message-id", "to", "subject"):
        if names.count(name) != 1:
            return f"{name} is there {names.count(name)} times"
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"twice: {twice}" if twice else None


def _cut(server: SMTP) -> str:
    assert isinstance(server.transport, asyncio.WriteTransport)
    server.transport.abort()
    return "421 gone"
