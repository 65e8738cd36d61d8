"""TLS in front of the embedded Elasticsearch, which knows neither TLS nor users and listens on loopback alone.

`python -m infra.machines.elasticsearch_proxy ADDRESS --keystore FILE --ca FILE`: whoever shows a certificate of the
deployment's authority is connected through, byte for byte; nobody else gets further than the handshake. A certificate
whose files are replaced is taken up without a restart (a unit's credentials are copies, made when it starts).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path

from infra.machines.inventory import ELASTICSEARCH_TLS
from streaming.errors import ConfigError, Unavailable, VigilError
from streaming.settings import load_settings
from streaming.worker.logs import configure_logs, logger
from streaming.worker.notify import Notifier

log = logger(__name__)

NAME = "elasticsearch-proxy"
CHUNK = 64 * 1024
CONNECTIONS = 256
"""At once; each holds at most four chunks (256 kB): 64 MB in all. Indexers have six, a task or a person one."""
HANDSHAKE_S = 10.0
CONNECT_S = 5.0
LOOK_AT_FILES_S = 10.0


@dataclass(frozen=True)
class Certificate:
    """PEM files: `keystore` holds the server's key and chain, `authority` who may have signed a client's."""

    keystore: Path
    authority: Path

    def context(self) -> ssl.SSLContext:
        """For connections from now on.

        Raises:
            ConfigError: a file cannot be used.
        """
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.verify_mode = ssl.CERT_REQUIRED
        self.load_into(made)
        return made

    def load_into(self, context: ssl.SSLContext) -> None:
        """The files as they are now.

        Raises:
            ConfigError: a file cannot be used; what was loaded before stays in use.
        """
        try:
            context.load_cert_chain(self.keystore, password="")
            context.load_verify_locations(self.authority)
        except OSError as error:
            raise ConfigError(
                f"key, chain or authority cannot be used: {error.strerror or error}",
                file=self.keystore,
                remedy="The deployment writes them: deploy_platform, or `systemctl status vigil-elasticsearch-proxy`",
            ) from error

    def version(self) -> tuple[int, ...]:
        """Changes when a file does."""
        return tuple(file.stat().st_mtime_ns for file in (self.keystore, self.authority))


class Proxy:
    """Listens at `listen` and connects through to `target`, both (host, port)."""

    def __init__(self, certificate: Certificate, listen: tuple[str, int], target: tuple[str, int]) -> None:
        self._certificate, self._listen, self._target = certificate, listen, target
        self._context = certificate.context()
        self._version = certificate.version()
        self._connections = 0

    async def serve(self, stop: asyncio.Event, notifier: Notifier) -> None:
        """Until it is told to stop.

        Raises:
            Unavailable: the address cannot be listened at.
        """
        asyncio.get_running_loop().set_exception_handler(_told)
        host, port = self._listen
        try:
            server = await asyncio.start_server(
                self._through, host, port, ssl=self._context, ssl_handshake_timeout=HANDSHAKE_S, limit=CHUNK
            )
        except OSError as error:
            raise Unavailable(f"{host}:{port} cannot be listened at: {error.strerror or error}") from error
        log.info("started", at=f"{host}:{port}", leads_to=":".join(map(str, self._target)))
        notifier.ready()
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_AT_FILES_S)
            self._renew()
            notifier.look(())
        notifier.stopping()
        server.close()

    async def _through(self, here: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections > CONNECTIONS:
                log.warning("too many connections, one is refused", limit=CONNECTIONS)
                return
            opened = asyncio.open_connection(*self._target, limit=CHUNK)
            there, on = await asyncio.wait_for(opened, CONNECT_S)
            try:
                await _first_end(_pump(here, on), _pump(there, back))
            finally:
                on.close()
        except (OSError, TimeoutError) as error:
            log.warning("a connection broke", reason=str(error) or type(error).__name__)
        finally:
            self._connections -= 1
            back.close()

    def _renew(self) -> None:
        try:
            version = self._certificate.version()
            if version != self._version:
                self._certificate.load_into(self._context)
                self._version = version
                log.info("another certificate is in use")
        except (OSError, ConfigError) as error:
            log.error("the certificate was not renewed", reason=str(error))


async def _first_end(*pumps: asyncio.Task[None]) -> None:
    """Until one side has ended, and both are to be closed: TLS knows no half of a connection."""
    try:
        done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in done:
            pump.result()
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> asyncio.Task[None]:
    async def run() -> None:
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()

    return asyncio.create_task(run())


def _told(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """A refused handshake comes here; its client may be anybody, so it is a line and no stack trace."""
    error = context.get("exception")
    log.warning("refused", reason=str(error or context.get("message"))[:200])


async def _run(proxy: Proxy) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await proxy.serve(stop, Notifier())


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m infra.machines.elasticsearch_proxy", description=__doc__)
    parser.add_argument("address", help="to listen at")
    parser.add_argument("--port", type=int, default=ELASTICSEARCH_TLS, help=f"({ELASTICSEARCH_TLS})")
    parser.add_argument("--keystore", type=Path, required=True, help="PEM file of the server's key and chain")
    parser.add_argument("--ca", type=Path, required=True, help="PEM file of the clients' authority")
    arguments = parser.parse_args()
    configure_logs(NAME)
    try:
        settings = load_settings()
        certificate = Certificate(arguments.keystore, arguments.ca)
        listen, target = (arguments.address, arguments.port), (settings.bind_host, settings.elasticsearch_port)
        asyncio.run(_run(Proxy(certificate, listen, target)))
    except VigilError as error:
        print(f"vigil: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
