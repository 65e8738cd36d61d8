"""Fetching the locked jars, from a Maven repository of the test's own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from infra.local import jars
from infra.local.jars import JarMismatch, LockedJar, ensure_jars, read_lock
from streaming.errors import Unavailable

KAFKA, ELASTIC = "org.example:broker_2.13:4.4.0", "org.example.search:node:9.5.3:linux"
CONTENT = {KAFKA: b"a broker" * 1000, ELASTIC: b"a node" * 5000}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository served over HTTP, which jgo's configuration names in Maven Central's place."""
    root = tmp_path / "repository"
    for coordinate, content in CONTENT.items():
        path = LockedJar(coordinate, "", 0).path(root)
        path.parent.mkdir(parents=True)
        path.write_bytes(content)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    configuration = tmp_path / "jgo.conf"
    configuration.write_text(f"[repositories]\ncentral = http://127.0.0.1:{server.server_port}\n", encoding="utf-8")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(configuration))
    monkeypatch.setattr(jars, "ATTEMPTS", 1)  # no pauses in a unit test
    yield root
    server.shutdown()
    server.server_close()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "servers.lock.toml"
    entries = {c: f'sha256 = "{hashlib.sha256(b).hexdigest()}", size = {len(b)}' for c, b in CONTENT.items()}
    path.write_text(
        f'[kafka]\n"{KAFKA}" = {{ {entries[KAFKA]} }}\n[elasticsearch]\n"{ELASTIC}" = {{ {entries[ELASTIC]} }}\n',
        encoding="utf-8",
    )
    return path


def test_fetches_what_is_locked_and_then_nothing_more(tmp_path: Path, repository: Path, lock: Path) -> None:
    said: list[str] = []
    found = ensure_jars(tmp_path / "home" / "jars", said.append, lock)
    assert [jar.name for jar in found.kafka] == ["broker_2.13-4.4.0.jar"]
    assert [jar.name for jar in found.elasticsearch] == ["node-9.5.3-linux.jar"]
    assert found.kafka[0].read_bytes() == CONTENT[KAFKA]
    assert "2 of 2 jars" in said[-1]

    for jar in repository.rglob("*.jar"):
        jar.unlink()
    said.clear()
    assert ensure_jars(tmp_path / "home" / "jars", said.append, lock) == found
    assert said == []


def test_a_jar_that_differs_from_the_lock_is_refused_by_name(tmp_path: Path, repository: Path, lock: Path) -> None:
    LockedJar(KAFKA, "", 0).path(repository).write_bytes(b"another broker")
    with pytest.raises(JarMismatch, match=f"^{KAFKA}: its sha256 is "):
        ensure_jars(tmp_path / "home" / "jars", print, lock)
    assert not LockedJar(KAFKA, "", 0).path(tmp_path / "home" / "jars").exists()


def test_a_jar_that_is_nowhere_is_named(tmp_path: Path, repository: Path, lock: Path) -> None:
    LockedJar(ELASTIC, "", 0).path(repository).unlink()
    with pytest.raises(Unavailable, match=f"^{ELASTIC}: cannot be fetched"):
        ensure_jars(tmp_path / "home" / "jars", print, lock)


def test_a_damaged_jar_on_disk_is_fetched_again(tmp_path: Path, repository: Path, lock: Path) -> None:
    (broken,) = ensure_jars(tmp_path / "home" / "jars", print, lock).kafka
    broken.write_bytes(b"half a")
    ensure_jars(tmp_path / "home" / "jars", print, lock)
    assert broken.read_bytes() == CONTENT[KAFKA]


def test_a_passing_failure_is_tried_again(
    tmp_path: Path, repository: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "ATTEMPTS", 3)
    pauses: list[float] = []
    served = LockedJar(KAFKA, "", 0).path(repository)
    served.write_bytes(b"cut short")

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        served.write_bytes(CONTENT[KAFKA])

    monkeypatch.setattr("infra.local.jars.time.sleep", sleep)
    ensure_jars(tmp_path / "home" / "jars", print, lock)
    assert pauses == [1]


def test_the_committed_lock_names_no_host_and_no_path_and_pins_every_jar() -> None:
    text = jars.LOCK.read_text(encoding="utf-8")
    assert "://" not in text
    assert "/home" not in text
    servers = read_lock()
    for server, roots in jars.ROOTS.items():
        assert {jar.coordinate for jar in servers[server]} >= set(roots)
        assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in servers[server])


def test_what_was_checked_is_not_read_again(
    tmp_path: Path, repository: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ensure_jars(tmp_path / "home" / "jars", print, lock)
    monkeypatch.setattr(jars, "_sha256", lambda path: pytest.fail(f"{path} is read"))
    assert ensure_jars(tmp_path / "home" / "jars", print, lock) == found
