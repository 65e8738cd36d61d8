"""The proxy between real sockets: who is let through, what of a renewed certificate, what ends with what."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from infra.machines import elasticsearch_proxy
from infra.machines.certificates import Authority
from infra.machines.elasticsearch_proxy import Certificate, Proxy
from streaming.errors import ConfigError
from streaming.worker.notify import Notifier

WITHIN_S = 20.0
LONGEST_LINE = 4 * 2**20


class Place:
    """An authority, the proxy's certificate, and contexts of clients."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.authority = folder, Authority(folder / "ca", "test")
        self.certificate = Certificate(folder / "server.pem", self.authority.certificate_path)
        self.renew("proxy")

    def renew(self, name: str) -> None:
        fresh = self.folder / "fresh.pem"
        fresh.write_bytes(self.authority.issue(name, ["127.0.0.1", name]).keystore)
        fresh.replace(self.certificate.keystore)

    def client(self, authority: Authority | None) -> ssl.SSLContext:
        """Of a client that this authority has signed; None: of one that shows nothing."""
        context = ssl.create_default_context(cafile=str(self.authority.certificate_path))
        if authority is not None:
            file = self.folder / "client.pem"
            file.write_bytes(authority.issue("indexer").keystore)
            context.load_cert_chain(file)
        return context


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Gives back what it gets, until a line says "bye"."""
    while line := await reader.readline():
        writer.write(line)
        if line == b"bye\n":
            break
    writer.close()


async def spoken(port: int, context: ssl.SSLContext, *lines: bytes, name: str = "127.0.0.1") -> bytes:
    """What comes back of these lines until the other side ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
    try:
        for line in lines:
            writer.write(line)
        await writer.drain()
        return await asyncio.wait_for(reader.read(-1), WITHIN_S)
    finally:
        writer.close()


async def refused(port: int, context: ssl.SSLContext) -> bool:
    """Whether nothing comes back: TLS 1.3 tells a client of its refusal only after its own handshake."""
    try:
        return await spoken(port, context, b"hello\n") == b""
    except (ssl.SSLError, ConnectionError):
        return True


def with_proxy(place: Place, test: Callable[[int], Awaitable[None]], *, target: int | None = None) -> None:
    """Runs `test(port of the proxy)` beside a proxy in front of an echo, or of what listens at `target`."""

    async def run() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0, limit=LONGEST_LINE)
        behind = target or server.sockets[0].getsockname()[1]
        listener = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        listener.close()
        await listener.wait_closed()
        stop = asyncio.Event()
        proxy = Proxy(place.certificate, ("127.0.0.1", port), ("127.0.0.1", behind))
        told: list[str] = []

        class Told(Notifier):
            def ready(self) -> None:
                told.append("ready")

        serving = asyncio.create_task(proxy.serve(stop, Told({})))
        while not told:
            assert not serving.done()
            await asyncio.sleep(0)
        try:
            await asyncio.wait_for(test(port), 2 * WITHIN_S)
        finally:
            stop.set()
            await serving
            server.close()

    asyncio.run(run())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_who_shows_a_certificate_is_connected_through(place: Place) -> None:
    body = os.urandom(1_000_000).replace(b"\n", b".") + b"\n"

    async def test(port: int) -> None:
        lines = (b"hello\n", body, b"bye\n")
        assert await spoken(port, place.client(place.authority), *lines) == b"".join(lines)

    with_proxy(place, test)


def test_who_shows_none_or_another_authoritys_gets_nothing(place: Place) -> None:
    async def test(port: int) -> None:
        for stranger in (None, Authority(place.folder / "other", "other")):
            assert await refused(port, place.client(stranger))
        assert await spoken(port, place.client(place.authority), b"bye\n") == b"bye\n"

    with_proxy(place, test)


def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_not(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(elasticsearch_proxy, "LOOK_AT_FILES_S", 0.02)

    async def test(port: int) -> None:
        context = place.client(place.authority)
        assert await spoken(port, context, b"bye\n", name="proxy") == b"bye\n"
        place.certificate.keystore.write_text("nonsense")
        assert await spoken(port, context, b"bye\n", name="proxy") == b"bye\n"
        place.renew("renewed")
        for _ in range(200):
            try:
                assert await spoken(port, context, b"bye\n", name="renewed") == b"bye\n"
                return
            except ssl.SSLCertVerificationError:
                await asyncio.sleep(0.05)
        raise AssertionError("the old certificate is still in use")

    with_proxy(place, test)


def test_without_an_elasticsearch_a_connection_ends_at_once(place: Place) -> None:
    async def test(port: int) -> None:
        assert await spoken(port, place.client(place.authority), b"hello\n") == b""

    with_proxy(place, test, target=1)


def test_a_certificate_that_is_none_is_named(place: Place) -> None:
    place.certificate.keystore.write_text("nonsense")
    with pytest.raises(ConfigError, match=r"server\.pem.*cannot be used"):
        Proxy(place.certificate, ("127.0.0.1", 1), ("127.0.0.1", 2))
