"""The connection to Elasticsearch: TLS by an authority of one's own, certificates and keys of clients."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from streaming.elastic.access import ElasticAccess
from streaming.elastic.connection import Connection
from streaming.errors import ConfigError, Unavailable
from streaming.settings import Settings, load_settings
from tests.support.certificates import Certificates


class Handler(BaseHTTPRequestHandler):
    """Answers with who asks."""

    def do_GET(self) -> None:
        said = (self.headers.get("Authorization") or "nobody").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
def port(certificates: Certificates) -> Iterator[int]:
    """Of a server that asks for a client's certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path("server"), certificates.path("server-key"))
    context.load_verify_locations(certificates.path("ca"))
    context.verify_mode = ssl.CERT_REQUIRED
    # Bound to what "localhost" names here; TLS is done in a thread of its own, so that a refusal hangs nothing.
    server = ThreadingHTTPServer(("localhost", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def asked(access: ElasticAccess) -> str:
    with closing(Connection(access, timeout_s=10.0)) as connection:
        return connection.request("GET", "/").body.decode()


def test_both_sides_show_who_they_are(certificates: Certificates, port: int) -> None:
    path = certificates.path
    access = ElasticAccess(f"https://localhost:{port}", path("ca"), path("client"), path("client-key"), "a-key")
    assert asked(access) == "ApiKey a-key"


def test_an_unknown_client_and_an_unknown_server_are_refused(certificates: Certificates, port: int) -> None:
    url, path = f"https://localhost:{port}", certificates.path
    with pytest.raises(Unavailable, match=f"Elasticsearch at {url} does not answer") as refused:
        asked(ElasticAccess(url, path("ca")))
    assert "certificate" in str(refused.value).lower() or "closed" in str(refused.value).lower()
    with pytest.raises(Unavailable, match=r"(?i)certificate verify failed"):
        asked(ElasticAccess(url, "", path("client"), path("client-key")))


def test_the_name_in_the_certificate_must_be_that_of_the_server(certificates: Certificates, port: int) -> None:
    path = certificates.path
    with pytest.raises(Unavailable, match=r"(?i)certificate|refused"):
        asked(ElasticAccess(f"https://127.0.0.1:{port}", path("ca"), path("client"), path("client-key")))


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ca_path.*missing\.pem"):
        Connection(ElasticAccess("https://localhost:1", str(tmp_path / "missing.pem")))


def test_a_user_in_the_address_and_a_key_instead() -> None:
    def header(access: ElasticAccess) -> str:
        return Connection(access)._headers["Authorization"]

    assert header(ElasticAccess("http://me:hu%40sh@h:1")) == "Basic " + base64.b64encode(b"me:hu@sh").decode()
    assert header(ElasticAccess("http://me:hush@h:1", api_key="k")) == "ApiKey k"
    assert "hush" not in repr(ElasticAccess("http://me:hush@h:1", api_key="hush"))


def test_by_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().elastic == ElasticAccess("http://127.0.0.1:9200")
    monkeypatch.setenv("VIGIL_ELASTICSEARCH_URL", "https://es:9243")
    monkeypatch.setenv("VIGIL_ELASTICSEARCH_CA_PATH", "/ca.pem")
    monkeypatch.setenv("VIGIL_ELASTICSEARCH_API_KEY", "hush")
    settings = load_settings()
    assert settings.elastic == ElasticAccess("https://es:9243", "/ca.pem", api_key="hush")
    assert "hush" not in repr(settings)
