"""An authority, and the files that `<transport tls>` and senders name."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

from streaming.accumulator.configuration.config import Place
from streaming.accumulator.configuration.plan import Tls
from streaming.forward import access


class Certificates:
    """Of "localhost" for the accumulator, and of a client, signed by one authority. Files are in `folder`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._authority = folder, trustme.CA()
        self._authority.cert_pem.write_to_path(folder / "ca.pem")
        self._issue("localhost", "server")
        self._issue("client.example", "client")

    def _issue(self, name: str, file: str) -> None:
        issued = self._authority.issue_cert(name)
        issued.private_key_pem.write_to_path(self.folder / f"{file}-key.pem")
        for n, part in enumerate(issued.cert_chain_pems):
            part.write_to_path(self.folder / f"{file}.pem", append=n > 0)

    def path(self, name: str) -> str:
        """Of "ca", "server", "server-key", "client", "client-key"."""
        return str(self.folder / f"{name}.pem")

    def server(self, *, client_cert_auth: bool = False) -> Tls:
        """The accumulator's side."""
        return Tls(
            Place(self.folder / "x.conf", 3),
            self.path("server"),
            self.path("server-key"),
            None,
            self.path("ca"),
            client_cert_auth,
            ssl.TLSVersion.TLSv1_2,
            ssl.TLSVersion.TLSv1_3,
        )

    def client(self, *, with_certificate: bool = False, trusting: bool = True) -> access.Tls:
        """A sender's side."""
        return access.Tls(
            self.path("ca") if trusting else None,
            self.path("client") if with_certificate else None,
            self.path("client-key") if with_certificate else None,
            "localhost",
        )
