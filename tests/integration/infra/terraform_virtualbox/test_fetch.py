"""Images over https: resumed, checked, and refused where they come another way."""

from __future__ import annotations

import hashlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from vbox.errors import Interrupted, VboxError
from vbox.fetch import fetched

IMAGE = bytes(range(256)) * 12_000  # 3 MB
SUM = hashlib.sha512(IMAGE).hexdigest()


@dataclass
class Site:
    """A server of one image. `breaks_after`: bytes after which it ends a connection, one entry for each."""

    url: str = ""
    breaks_after: list[int] = field(default_factory=list)
    ranges: bool = True
    content: bytes = IMAGE
    asked: list[str | None] = field(default_factory=list)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server on the loopback whose certificate is trusted."""
    found = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            return

        def do_GET(self) -> None:  # the base class's name
            if self.path == "/plain":
                self.send_response(302)
                self.send_header("Location", "http://127.0.0.1:1/image")
                self.end_headers()
                return
            if self.path != "/image.tar.xz":
                self.send_error(404)
                return
            asked = self.headers.get("Range")
            found.asked.append(asked)
            begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and found.ranges else 0
            if begin and begin >= len(found.content):
                self.send_error(416)
                return
            rest = found.content[begin:]
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            end = found.breaks_after.pop(0) if found.breaks_after else len(rest)
            self.wfile.write(rest[:end])

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    found.url = f"https://127.0.0.1:{server.server_address[1]}/image.tar.xz"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Fetching:
    """One cache."""

    folder: Path
    said: list[str] = field(default_factory=list)

    def __call__(self, url: str, digest: str = SUM) -> Path:
        return fetched(url, self.folder / "image", "sha512", digest, self.said.append, lambda: None)


@pytest.fixture
def fetch(tmp_path: Path) -> Fetching:
    """A cache that is empty."""
    return Fetching(tmp_path / "cache")


def test_fetched_once(site: Site, fetch: Fetching) -> None:
    assert fetch(site.url).read_bytes() == IMAGE
    assert "  100 %" in fetch.said
    assert fetch(site.url).read_bytes() == IMAGE
    assert site.asked == [None]
    assert [path.name for path in fetch.folder.iterdir()] == ["image"]


def test_resumed_where_it_broke(site: Site, fetch: Fetching) -> None:
    site.breaks_after = [1_000_000, 500_000]
    assert fetch(site.url).read_bytes() == IMAGE
    assert len(site.asked) == 3
    assert site.asked[0] is None
    assert all(asked is not None for asked in site.asked[1:])
    assert any(line.startswith("going on with") for line in fetch.said)


def test_resumed_from_an_earlier_run(site: Site, fetch: Fetching) -> None:
    fetch.folder.mkdir()
    (fetch.folder / "image.part").write_bytes(IMAGE[:1000])
    assert fetch(site.url).read_bytes() == IMAGE
    assert site.asked == ["bytes=1000-"]


def test_a_part_that_was_whole_already(site: Site, fetch: Fetching) -> None:
    fetch.folder.mkdir()
    (fetch.folder / "image.part").write_bytes(IMAGE)
    assert fetch(site.url).read_bytes() == IMAGE


def test_a_server_that_does_not_resume(site: Site, fetch: Fetching) -> None:
    site.ranges = False
    site.breaks_after = [1_000_000]
    assert fetch(site.url).read_bytes() == IMAGE


def test_a_part_of_another_version_is_fetched_anew(site: Site, fetch: Fetching) -> None:
    fetch.folder.mkdir()
    (fetch.folder / "image.part").write_bytes(b"x" * 1000)
    assert fetch(site.url).read_bytes() == IMAGE
    assert site.asked == ["bytes=1000-", None]


def test_a_cached_file_that_changed_is_fetched_anew(site: Site, fetch: Fetching) -> None:
    fetch(site.url).write_bytes(b"changed")
    assert fetch(site.url).read_bytes() == IMAGE


def test_a_wrong_sum_keeps_nothing(site: Site, fetch: Fetching) -> None:
    with pytest.raises(VboxError, match=f"sum of https://.* is {SUM}, not 0000"):
        fetch(site.url, "0" * 128)
    assert list(fetch.folder.iterdir()) == []


def test_a_connection_that_always_breaks(site: Site, fetch: Fetching) -> None:
    site.breaks_after = [10] * 10
    with pytest.raises(VboxError, match="cannot be fetched"):
        fetch(site.url)
    assert len(site.asked) == 5


def test_what_is_refused(site: Site, fetch: Fetching) -> None:
    with pytest.raises(VboxError, match="answers 404"):
        fetch(site.url.replace("image", "none"))
    with pytest.raises(VboxError, match=r"leads to http://127.0.0.1:1/image, which is not https"):
        fetch(site.url.replace("image.tar.xz", "plain"))


def test_a_server_that_is_not_trusted(site: Site, fetch: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(VboxError, match="cannot be fetched") as raised:
        fetch(site.url)
    assert "CERTIFICATE_VERIFY_FAILED" in raised.value.reason
    assert site.asked == []


def test_a_signal_ends_it_and_what_was_fetched_stays(site: Site, fetch: Fetching) -> None:
    def check() -> None:
        part = fetch.folder / "image.part"
        if part.exists() and part.stat().st_size:
            raise Interrupted("ended by a signal")

    with pytest.raises(Interrupted):
        fetched(site.url, fetch.folder / "image", "sha512", SUM, fetch.said.append, check)
    assert (fetch.folder / "image.part").exists()
    assert fetch(site.url).read_bytes() == IMAGE
