"""Real Kafka and Elasticsearch for tests: started once a session, when the first test asks for them.

With VIGIL_TEST_KAFKA_PORT or VIGIL_TEST_ELASTICSEARCH_PORT set, the server that runs there is used instead. Tests
keep apart by random prefixes of topics and indices; what they made is deleted after each.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from elasticsearch import Elasticsearch, TransportError

from infra.local.isolated import as_environment as variables_of
from infra.local.jars import ensure_jars
from streaming.kafka.admin import TopicReport, ensure_topics
from streaming.settings import CHECKOUT, SLOT_STRIDE, Settings

HOST = "127.0.0.1"
START_WITHIN_S = 120.0
"""Kafka needs 4 s and Elasticsearch 6 s on an idle machine; this one may be compiling something else."""
STOP_WITHIN_S = 10.0
SLOTS = 3
"""Workers of one kind that a test may run side by side, each with a health port of its own."""

T = TypeVar("T")


class Launch(Protocol):
    """Runs `python -m MODULE ARGUMENTS...` with this environment; its output goes to `log`, if given."""

    def __call__(
        self, module: str, *arguments: str, environment: dict[str, str], log: Path | None = None
    ) -> subprocess.Popen[bytes]: ...


class WaitUntil(Protocol):
    """Looks every 50 ms until the predicate gives something true, and returns it; else AssertionError with `what`."""

    def __call__(self, predicate: Callable[[], T], timeout_s: float, what: str) -> T: ...


# ---------------------------------------------------------------------------------------------- helpers


class Ports:
    """Ports that are free and that were not given away yet.

    They lie below the range from which the kernel takes ports for outgoing connections (32768 and up), which
    could take one between this look and the server's start. Where several processes run tests (`pytest -n`), each has
    a part of them to itself; those below 20,000 are for whole platforms (`infra.local.isolated`).
    """

    FIRST, LAST, PROCESSES = 20_000, 32_000, 4

    def __init__(self) -> None:
        self._given: set[int] = set()
        process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % self.PROCESSES
        share = (self.LAST - self.FIRST) // self.PROCESSES
        self._range = range(self.FIRST + process * share, self.FIRST + (process + 1) * share)

    def __call__(self, count: int = 1) -> int:
        """The first of so many consecutive ones."""
        for _ in range(1000):
            first = random.SystemRandom().randrange(self._range.start, self._range.stop - count)
            block = range(first, first + count)
            if self._given.isdisjoint(block) and all(map(_is_free, block)):
                self._given.update(block)
                return first
        raise AssertionError(f"no {count} free ports in a row")

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """What is given within the block may be given again after it: a whole session needs more than there are."""
        before = set(self._given)
        yield
        self._given = before


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _wait_until(predicate: Callable[[], T], timeout_s: float, what: str) -> T:
    deadline = time.monotonic() + timeout_s
    while not (found := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what} (last seen: {found!r})")
        time.sleep(0.05)
    return found


# Asks for a TERM when pytest dies, however it dies; then becomes the module.
_WRAPPER = (
    "import runpy, sys; from infra.local.guard import die_with_parent; die_with_parent();"
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def _launch(module: str, arguments: Sequence[str], environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Not in pytest's process group: a Ctrl-C reaches pytest alone, which then stops all in order."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-c", _WRAPPER, module, *arguments],
            env=environment,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # with what it may have left behind
        process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]) if log.exists() else ""


def _clean_environment() -> dict[str, str]:
    """This process's without any of Vigil's settings, and without a settings file."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VIGIL_", "SLACK_"))}
    return kept | {"VIGIL_CONFIG": os.devnull, "PYTHONUNBUFFERED": "1"}


def _as_environment(settings: Settings) -> dict[str, str]:
    return _clean_environment() | variables_of(settings)


def _kafka_answers(port: int) -> bool:
    try:
        AdminClient({"bootstrap.servers": f"{HOST}:{port}", "log_level": 0}).list_topics(timeout=1)
    except KafkaException:
        return False
    return True


def _elasticsearch_answers(port: int) -> bool:
    with Elasticsearch(f"http://{HOST}:{port}", request_timeout=5, max_retries=0) as client:
        try:
            return client.cluster.health()["status"] in ("green", "yellow")
        except TransportError:
            return False


class Servers:
    """The session's servers: their ports are known at once, their processes begin when they are needed."""

    ANSWERS: dict[str, Callable[[int], bool]] = {"kafka": _kafka_answers, "elasticsearch": _elasticsearch_answers}  # noqa: RUF012

    def __init__(self, home: Path, ports: Ports) -> None:
        self._home = home
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ready: set[str] = set()
        self.ports: dict[str, int] = {}
        self._own_ports = {
            "VIGIL_KAFKA_CONTROLLER_PORT": str(ports()),
            "VIGIL_ELASTICSEARCH_TRANSPORT_PORT": str(ports()),
        }
        for name in self.ANSWERS:
            running = os.environ.get(f"VIGIL_TEST_{name}_PORT".upper())
            self.ports[name] = int(running) if running else ports()
            if running:
                assert self.ANSWERS[name](int(running)), f"no {name} answers at {HOST}:{running}"
                self._ready.add(name)

    def need(self, *names: str) -> None:
        """Returns when these answer; those that do not run yet start at the same time."""
        missing = [name for name in names if name not in self._ready]
        if not missing:
            return
        _link_jars(self._home)
        for name in missing:
            self._processes[name] = _launch(f"infra.local.{name}", [], self._environment(), self._log(name))
        for name in missing:
            self._await(name)
            self._ready.add(name)

    def stop(self) -> None:
        """Stops what was started here."""
        for process in self._processes.values():
            process.terminate()  # all at once, then one after the other
        for process in self._processes.values():
            _stop(process)

    def _await(self, name: str) -> None:
        process = self._processes[name]
        try:
            _wait_until(
                lambda: process.poll() is not None or self.ANSWERS[name](self.ports[name]),
                START_WITHIN_S,
                f"{name} answers",
            )
            assert process.poll() is None, f"{name} ended with {process.returncode}"
        except AssertionError as error:
            pytest.fail(f"{error}\n{_tail(self._log(name))}", pytrace=False)

    def _log(self, name: str) -> Path:
        return self._home / "logs" / f"{name}.out"

    def _environment(self) -> dict[str, str]:
        ports = {f"VIGIL_{name}_PORT".upper(): str(port) for name, port in self.ports.items()}
        return _clean_environment() | {"VIGIL_HOME": str(self._home)} | ports | self._own_ports


def _link_jars(home: Path) -> None:
    """Lets a test's home use the jars of the checkout's, so that they are fetched once."""
    shared = Path(os.environ.get("VIGIL_HOME", CHECKOUT / ".vigil")).resolve()
    ensure_jars(shared / "jars", print)
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "jars").exists():
        (home / "jars").symlink_to(shared / "jars")


# --------------------------------------------------------------------------------------------- fixtures


@pytest.fixture(scope="session")
def free_port() -> Ports:
    """`free_port()` gives a free port, `free_port(n)` the first of n in a row; no port twice in a test."""
    return Ports()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, free_port: Ports) -> Iterator[Servers]:
    """The session's servers, none of them started yet."""
    found = Servers(tmp_path_factory.mktemp("servers"), free_port)
    try:
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def kafka_bootstrap(servers: Servers) -> str:
    """`bootstrap.servers` of the session's running Kafka."""
    servers.need("kafka")
    return f"{HOST}:{servers.ports['kafka']}"


@pytest.fixture(scope="session")
def elasticsearch_url(servers: Servers) -> str:
    """Address of the session's running Elasticsearch."""
    servers.need("elasticsearch")
    return f"http://{HOST}:{servers.ports['elasticsearch']}"


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """What `settings` starts. A module or folder that needs less overrides this: `return ("kafka",)`."""
    return ("kafka", "elasticsearch")


@pytest.fixture
def settings(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    servers: Servers,
    needed_servers: tuple[str, ...],
    free_port: Ports,
) -> Iterator[Settings]:
    """Settings of a test alone: random prefixes, a home in `tmp_path`, free ports, on the running servers.

    The topics and indices with its prefixes are deleted afterwards.
    """
    servers.need(*needed_servers)
    with free_port.lent():
        yield from _settings_of_a_test(tmp_path, monkeypatch, servers, needed_servers, free_port)


def _settings_of_a_test(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    servers: Servers,
    needed_servers: tuple[str, ...],
    free_port: Ports,
) -> Iterator[Settings]:
    for name in [name for name in os.environ if name.startswith(("VIGIL_", "SLACK_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("VIGIL_CONFIG", os.devnull)
    tag = secrets.token_hex(4)
    made = Settings(
        home=tmp_path / "home",
        kafka_port=servers.ports["kafka"],
        kafka_controller_port=free_port(),
        elasticsearch_port=servers.ports["elasticsearch"],
        elasticsearch_transport_port=free_port(),
        topic_prefix=f"t{tag}-",
        index_prefix=f"vigil-t{tag}",
        airflow_port=free_port(),
        accumulator1_port=free_port(),
        accumulator2_port=free_port(),
        accumulator3_port=free_port(),
        order_port=free_port(),
        payment_port=free_port(),
        inventory_port=free_port(),
        health_port_base=free_port(SLOT_STRIDE * SLOTS),
    )
    made.home.mkdir()
    yield made
    _delete_topics(made) if "kafka" in needed_servers else None
    _delete_indices(made) if "elasticsearch" in needed_servers else None


def _delete_topics(settings: Settings) -> None:
    admin = AdminClient({"bootstrap.servers": settings.bootstrap, "log_level": 0})
    if names := [name for name in admin.list_topics(timeout=10).topics if name.startswith(settings.topic_prefix)]:
        for deleted in admin.delete_topics(names).values():
            with contextlib.suppress(KafkaException):  # the test may have deleted it meanwhile
                deleted.result()


def _delete_indices(settings: Settings) -> None:
    with Elasticsearch(settings.elasticsearch, request_timeout=30) as client:
        pattern = f"{settings.index_prefix}*"
        if names := list(client.indices.get(index=pattern, expand_wildcards="all", filter_path="*.aliases")):
            client.indices.delete(index=names, ignore_unavailable=True)
        if client.indices.exists_index_template(name=pattern):
            client.indices.delete_index_template(name=pattern)
        if client.cluster.exists_component_template(name=pattern):
            client.cluster.delete_component_template(name=pattern)


@pytest.fixture
def topics(settings: Settings) -> TopicReport:
    """All topics of the catalogue, just created under the test's prefix."""
    return ensure_topics(settings)


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    """The environment in which another process finds exactly `settings`."""
    return _as_environment(settings)


@pytest.fixture
def as_environment() -> Callable[[Settings], dict[str, str]]:
    """Makes such an environment of other settings, say of a copy with changed ports."""
    return _as_environment


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts processes that are stopped when the test ends (TERM, then KILL); call it from the test's own thread."""
    started: list[subprocess.Popen[bytes]] = []

    def start(
        module: str, *arguments: str, environment: dict[str, str], log: Path | None = None
    ) -> subprocess.Popen[bytes]:
        place = log or tmp_path / "processes" / f"{module}-{len(started)}.out"
        started.append(_launch(module, arguments, environment, place))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
    for process in started:
        _stop(process)


@pytest.fixture(scope="session")
def wait_until() -> WaitUntil:
    """`wait_until(predicate, timeout_s, what)`: see `WaitUntil`."""
    return _wait_until


@pytest.fixture
def empty_home(tmp_path: Path) -> Path:
    """A home without any state that has the servers' jars."""
    home = tmp_path / "own-home"
    _link_jars(home)
    return home
