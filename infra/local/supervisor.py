"""The process supervisor of one machine (`supervisor` from PyPI): its configuration, its start, and its port."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import TypedDict, cast

from infra.local.layout import Layout
from infra.service_manager import RunState, ServiceStatus
from infra.services import catalogue
from streaming.errors import Unavailable, VigilError
from streaming.files import write_private
from streaming.settings import Settings

STOP_WITHIN_S = 10
"""After TERM; then KILL (supervisor's `stopwaitsecs`)."""

START_SECONDS = 3
"""A program that ends sooner has failed to start: the next attempt waits one second longer than the last."""

START_RETRIES = 1000
"""In effect never give up: a worker that ends because Kafka is away must come back whenever Kafka does. The wait
grows by a second each time (30 s away: back within 8 s; an hour away: within 85 s)."""

ANSWER_WITHIN_S = 15.0
"""The slowest call is a stop: STOP_WITHIN_S until KILL, and some seconds of a busy machine."""

LOG_BYTES, LOG_BACKUPS = "10MB", 3
"""40 MB a program and stream at most; 19 programs make 0.8 GB if each ever filled both."""

SUPERVISOR_FILES = 256
"""Open files of the supervisor: three pipes and two logs a program make 100. It closes this many descriptors one by
one between fork and exec, and a TERM in that time is lost: with 16,384 it lasted 50 ms, and many a quick stop then
waited for KILL. The guard raises the programs' own limit."""

EX_CONFIG = 78


def configuration(names: Iterable[str], autostart: Iterable[str], plain_text: Iterable[str], socket_path: str) -> str:
    """The supervisor's configuration. All paths in it are relative to the folder it is started in (`Layout.run`).

    So no character of the home's path can change its meaning, and no secret can be in it.
    """
    head = f"""\
[unix_http_server]
file = {socket_path}
chmod = 0600

[supervisord]
logfile = ../logs/supervisord.out
logfile_maxbytes = {LOG_BYTES}
logfile_backups = {LOG_BACKUPS}
pidfile = supervisord.pid
umask = 077
minfds = {SUPERVISOR_FILES}
minprocs = 1
nocleanup = true

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
    wanted, texts = set(autostart), set(plain_text)
    return head + "".join(
        _program(name, order, name in wanted, name in texts) for order, name in enumerate(names, start=1)
    )


def _program(name: str, order: int, autostart: bool, plain_text: bool) -> str:
    errors = (
        "redirect_stderr = true"
        if plain_text
        else f"""\
stderr_logfile = ../logs/{name}.jsonl
stderr_logfile_maxbytes = {LOG_BYTES}
stderr_logfile_backups = {LOG_BACKUPS}"""
    )
    return f"""
[program:{name}]
command = ./python -I -S ./guard.py programs.json {name}
priority = {order}
autostart = {str(autostart).lower()}
autorestart = true
startsecs = {START_SECONDS}
startretries = {START_RETRIES}
stopwaitsecs = {STOP_WITHIN_S}
stopasgroup = true
killasgroup = true
stdout_logfile = ../logs/{name}.out
stdout_logfile_maxbytes = {LOG_BYTES}
stdout_logfile_backups = {LOG_BACKUPS}
{errors}
"""


def socket_setting(layout: Layout) -> str:
    """The socket as `configuration` wants it: relative where it lies in `Layout.run`."""
    path = layout.socket()
    return path.name if path.parent == layout.run else str(path)


def launch(layout: Layout, conf: str, declaration: str, environment: dict[str, str], within_s: float = 20.0) -> None:
    """Writes the supervisor's files and starts it in the background; returns when it answers.

    Raises:
        VigilError: it did not start, with its own words.
        Unavailable: it does not answer in time.
    """
    layout.make()
    socket_path = layout.make_socket_folder()
    write_private(layout.supervisor_conf, conf.encode())
    write_private(layout.programs, declaration.encode())
    # Not the environment's link: `python` here would not find its libraries, and the guard needs none.
    for name, target in (("python", Path(sys.executable)), ("guard.py", Path(__file__).with_name("guard.py"))):
        link = layout.run / name
        link.unlink(missing_ok=True)
        link.symlink_to(target.resolve())
    socket_path.unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", layout.supervisor_conf.name],
        cwd=layout.run,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())[-500:]
        raise VigilError(f"the process supervisor did not start: {said}; see {layout.supervisor_log}")
    deadline = time.monotonic() + within_s
    while not is_running(layout):
        if time.monotonic() > deadline:
            raise Unavailable(
                f"the process supervisor does not answer after {within_s:g} s; see {layout.supervisor_log}"
            )
        time.sleep(0.05)


def is_running(layout: Layout) -> bool:
    """Whether this platform's supervisor answers."""
    try:
        with _rpc(layout) as server:
            server.supervisor.getPID()
    except (OSError, http.client.HTTPException, xmlrpc.client.Error):
        return False
    return True


class _UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket, with a time-out (supervisor's own transport waits for ever)."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("localhost", timeout=ANSWER_WITHIN_S)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(ANSWER_WITHIN_S)
        try:
            connection.sock.connect(os.fspath(self._path))
        except OSError:
            connection.sock.close()
            raise
        self._connection = host, connection  # where the base class looks for what it closes
        return connection


def _rpc(layout: Layout) -> xmlrpc.client.ServerProxy:
    return xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(layout.socket()))


class _Info(TypedDict):
    """The part of supervisor's getProcessInfo that is used here."""

    name: str
    state: int
    spawnerr: str
    exitstatus: int
    pid: int
    start: int


class _State(IntEnum):
    """supervisor.states.ProcessStates."""

    STOPPED = 0
    STARTING = 10
    RUNNING = 20
    BACKOFF = 30
    STOPPING = 40
    EXITED = 100


# supervisor.xmlrpc.Faults
_BAD_NAME, _SPAWN_ERROR, _ALREADY_STARTED, _NOT_RUNNING = 10, 50, 60, 70


class SupervisorManager:
    """`infra.service_manager.ServiceManager` for this machine. It also knows Airflow's components by their names.

    Every call opens a connection of its own, so one manager may serve several threads.
    """

    def __init__(self, settings: Settings) -> None:
        self._layout = Layout(settings.home)
        self._services = [service.name for service in catalogue(settings)]

    def start(self, name: str) -> None:
        """Asks for a start and returns. One that waits for its next attempt is started at once."""
        info = self._settled(name)
        if info["state"] == _State.BACKOFF:
            self._call("stopProcess", name, True, ignore=_NOT_RUNNING)
        if info["state"] not in (_State.STARTING, _State.RUNNING):
            # SPAWN_ERROR: it ended at once; `status` has the reason then.
            self._call("startProcess", name, False, ignore=(_ALREADY_STARTED, _SPAWN_ERROR))

    def stop(self, name: str) -> None:
        """Stops it (TERM, after STOP_WITHIN_S KILL) and returns when it has ended."""
        self._call("stopProcess", name, True, ignore=_NOT_RUNNING)
        self._settled(name)

    def begin_stop(self, name: str) -> None:
        """Sends TERM and returns; KILL follows after STOP_WITHIN_S."""
        self._call("stopProcess", name, False, ignore=_NOT_RUNNING)

    def restart(self, name: str) -> None:
        """Stop, then start."""
        self.stop(name)
        self.start(name)

    def status(self, name: str) -> ServiceStatus:
        """State of one. While it is tried again and again, `detail` says what the last attempt said."""
        return self._status(self._info(name))

    def all(self) -> list[ServiceStatus]:
        """State of every service, in start order; Airflow's components are not among them."""
        return self.statuses(self._services)

    def statuses(self, names: Iterable[str]) -> list[ServiceStatus]:
        """State of several, in the order given, by one question to the supervisor.

        Raises:
            KeyError: no program of one of the names.
        """
        infos = {info["name"]: info for info in cast(list[_Info], self._call("getAllProcessInfo"))}
        return [self._status(infos[name]) for name in names]

    def log_hint(self, names: Iterable[str]) -> str:
        """The logs of programs, for a message."""
        return ", ".join(str(self._layout.text_log(name)) for name in names)

    def supervisor_pid(self) -> int:
        """Process id of the supervisor."""
        return cast(int, self._call("getPID"))

    def shut_down(self) -> None:
        """Asks the supervisor to stop what still runs and to end; returns at once."""
        self._call("shutdown")

    def _settled(self, name: str) -> _Info:
        """State once a stop under way has ended."""
        deadline = time.monotonic() + STOP_WITHIN_S + 2
        while (info := self._info(name))["state"] == _State.STOPPING:
            if time.monotonic() > deadline:
                raise Unavailable(f"{name} (process {info['pid']}) does not end, not even by KILL; is its disk stuck?")
            time.sleep(0.05)
        return info

    def _info(self, name: str) -> _Info:
        return cast(_Info, self._call("getProcessInfo", name))

    def _status(self, info: _Info) -> ServiceStatus:
        name, pid = info["name"], info["pid"] or None
        started_ms = info["start"] * 1000 if pid and info["start"] else None
        match info["state"]:
            case _State.STOPPED:
                return ServiceStatus(name, RunState.STOPPED, None, "")
            case _State.STARTING:
                return ServiceStatus(name, RunState.STARTING, pid, "", started_ms)
            case _State.RUNNING:
                return ServiceStatus(name, RunState.RUNNING, pid, "", started_ms)
            case _State.STOPPING:
                return ServiceStatus(name, RunState.RUNNING, pid, "stopping")
            case _State.BACKOFF | _State.EXITED if last_exit(self._layout, name) != EX_CONFIG:
                return ServiceStatus(name, RunState.STARTING, None, "tried again soon; " + self._why(info))
            case _:
                # A configuration error does not mend by itself, though it is tried again (someone may mend the file).
                return ServiceStatus(name, RunState.FAILED, None, self._why(info))

    def _why(self, info: _Info) -> str:
        path, lines = last_words(self._layout, info["name"])
        status = last_exit(self._layout, info["name"])
        reason = f"it ended with status {status}" if status is not None else info["spawnerr"] or "it ended"
        return f"{reason}: {' | '.join(lines)} (log: {path})" if lines else f"{reason} and wrote nothing (log: {path})"

    def _call(self, method: str, *args: object, ignore: int | tuple[int, ...] = ()) -> object:
        try:
            with _rpc(self._layout) as server:
                return getattr(server.supervisor, method)(*args)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in (ignore if isinstance(ignore, tuple) else (ignore,)):
                return None
            if fault.faultCode == _BAD_NAME:
                raise KeyError(args[0]) from None
            raise Unavailable(f"the process supervisor refused {method}{args}: {fault.faultString}") from fault
        except TimeoutError as error:
            raise Unavailable(
                f"the process supervisor did not answer within {ANSWER_WITHIN_S:g} s; see {self._layout.supervisor_log}"
            ) from error
        except (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError) as error:
            raise Unavailable(
                f"the platform at {self._layout.home} is not running (its supervisor does not answer: {error}); "
                "start it with `vigil up`"
            ) from error


TAIL_BYTES = 64 * 1024
LAST_LINES, LINE_CHARACTERS = 3, 400


def last_exit(layout: Layout, name: str) -> int | None:
    """Exit status of a program's last end by itself, by the supervisor's log; None where it is not in there."""
    found = re.findall(rf"exited: {re.escape(name)} \(exit status (\d+);", _tail(layout.supervisor_log))
    return int(found[-1]) if found else None


def last_words(layout: Layout, name: str) -> tuple[Path, list[str]]:
    """The last lines that a program logged, readable, and the file they are from: the one written last."""
    logs = [p for p in (layout.json_log(name), layout.text_log(name)) if p.exists() and p.stat().st_size]
    if not logs:
        return layout.text_log(name), []
    newest = max(logs, key=lambda p: p.stat().st_mtime)
    # Indented lines are the inside of a traceback; the line that names the error is not.
    lines = [readable(line) for line in _tail(newest).splitlines() if line.strip() and not line[0].isspace()]
    said = [line for line in lines if not line.startswith("Traceback (most recent call")]
    # What was said again counts where it was said last.
    return newest, list(dict.fromkeys(reversed(said[-LAST_LINES:])))[::-1]


def readable(line: str) -> str:
    """A log line for a person: of a JSON line its level, message and error; control characters are taken out."""
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if isinstance(event, dict) and "message" in event:
        parts = [str(event.get("log_level", "")), str(event["message"]), str(event.get("error", ""))]
        line = " ".join(filter(None, parts))
    return "".join(c if c.isprintable() else " " for c in line)[:LINE_CHARACTERS].strip()


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
