"""TLS of a source: handshakes in memory, and files that cannot be used."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from streaming.accumulator.configuration.config import Place
from streaming.accumulator.configuration.plan import Tls
from streaming.accumulator.sources.tls import server_context
from streaming.errors import ConfigError

CA = trustme.CA()


@pytest.fixture
def tls(tmp_path: Path) -> Tls:
    cert = CA.issue_cert("localhost")
    cert.private_key_pem.write_to_path(tmp_path / "key.pem")
    for n, part in enumerate(cert.cert_chain_pems):
        part.write_to_path(tmp_path / "cert.pem", append=n > 0)
    CA.cert_pem.write_to_path(tmp_path / "ca.pem")
    return Tls(
        Place(tmp_path / "x.conf", 3),
        str(tmp_path / "cert.pem"),
        str(tmp_path / "key.pem"),
        None,
        str(tmp_path / "ca.pem"),
        client_cert_auth=False,
        min_version=ssl.TLSVersion.TLSv1_2,
        max_version=ssl.TLSVersion.TLSv1_2,
    )


def handshake(server_side: ssl.SSLContext, *, with_certificate: bool = False) -> str | None:
    """The version that both agree on. Raises ssl.SSLError where they do not."""
    client_side = ssl.create_default_context()
    CA.configure_trust(client_side)
    if with_certificate:
        CA.issue_cert("client").configure_cert(client_side)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    client = client_side.wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(6):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return server.version()


def test_the_versions_of_the_configuration_count(tls: Tls) -> None:
    assert handshake(server_context(tls)) == "TLSv1.2"
    assert handshake(server_context(replace(tls, max_version=ssl.TLSVersion.TLSv1_3))) == "TLSv1.3"


def test_a_client_without_a_certificate_is_refused_where_one_is_asked_for(tls: Tls) -> None:
    strict = server_context(replace(tls, client_cert_auth=True))
    assert handshake(strict, with_certificate=True) == "TLSv1.2"
    with pytest.raises(ssl.SSLError):
        handshake(strict)


@pytest.mark.parametrize(
    ("name", "broken"),
    [("cert_path", "cert_path"), ("cert_path", "private_key_path"), ("ca_path", "ca_path")],
)
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_files_that_cannot_be_used_are_named(tls: Tls, tmp_path: Path, name: str, broken: str, content: str) -> None:
    if content is not None:
        (tmp_path / "broken").write_text(content)
    wrong = {
        "cert_path": replace(tls, cert_path=str(tmp_path / "broken")),
        "private_key_path": replace(tls, private_key_path=str(tmp_path / "broken")),
        "ca_path": replace(tls, ca_path=str(tmp_path / "broken")),
    }[broken]
    with pytest.raises(ConfigError, match=rf"x\.conf:3: {name}: .*broken") as caught:
        server_context(wrong)
    assert caught.value.line == 3


def test_ciphers_that_nobody_knows_are_refused(tls: Tls) -> None:
    with pytest.raises(ConfigError, match="no ciphers"):
        server_context(replace(tls, ciphers="ROT13"))
