"""What Airflow asks for task logs: to keep one when its task has ended, to read one for the UI."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigil_airflow.task_logs.unsent import UnsentList

if TYPE_CHECKING:
    from streaming.settings import Settings

SEND_WITHIN_S = 4.0
"""For one log: the slot of its task, or the triggerer, waits for it. 10,000 lines need 1 s here; what is left is sent
with a later one. With one request under way (2 s) it is 6 s at most."""

CATCH_UP_WITHIN_S = 2.0
"""For logs that could not be sent before, each time that one could."""

PAUSE_S = 30.0
"""How long a process does not try again where Elasticsearch did not answer: while it is away, tasks lose 2 s (a
host that drops packets) or nothing (a port that refuses) in so long."""

log = logging.getLogger(__name__)


class ElasticTaskLogs:
    """Airflow's `RemoteLogIO`. Never raises, and never holds up whoever asks for longer than the bounds above.

    Local files stay, and are what the UI shows where they are on its machine; so logs can be read while Elasticsearch
    is away, and the start of Elasticsearch itself can be followed. Elsewhere (workers on other machines, files cleaned
    away) the UI shows what is in Elasticsearch.
    """

    processors: tuple[()] = ()

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unsent = UnsentList(folder)
        self._away_until = 0.0

    def upload(self, path: os.PathLike[str] | str, ti: Any = None) -> None:
        """Writes a log to Elasticsearch when its task has ended, deferred or is to be tried again: all of it, of which
        what is there already stays."""
        relative = self._relative(Path(path))
        if relative is None:
            return
        left: _Left | None = _Left(relative)
        if time.monotonic() >= self._away_until:
            left = self._send(_Left(relative), SEND_WITHIN_S)
        if left is None:
            self._catch_up()
        elif not self._unsent.add(left.as_line()):
            log.warning("%s is kept as a file alone: too many logs wait for Elasticsearch", relative)

    def stream(self, relative_path: str, ti: Any) -> tuple[list[str], list[Generator[str, None, None]]]:
        """The log's lines from Elasticsearch where it is not among the local files; what was asked, for the UI."""
        from streaming.errors import VigilError
        from streaming.settings import load_settings
        from vigil_airflow.task_logs.lines import LogName
        from vigil_airflow.task_logs.store import READ_WITHIN_S, TaskLogIndex

        if (self._folder / relative_path).is_file():
            return [], []
        try:
            settings = load_settings()
            with TaskLogIndex(settings, READ_WITHIN_S) as index:
                lines = list(index.read(LogName.of(relative_path).log_id))
        except VigilError as error:
            return [f"Not among the files here, and {error}"], []
        return ([f"Elasticsearch at {_shown(settings)}"], [_generator(lines)]) if lines else ([], [])

    def read(self, relative_path: str, ti: Any) -> tuple[list[str], list[str] | None]:
        """As `stream`, for callers that know no other way."""
        sources, streams = self.stream(relative_path, ti)
        return sources, ["\n".join(stream) for stream in streams] or None

    def _relative(self, path: Path) -> str | None:
        try:
            relative = path.relative_to(self._folder) if path.is_absolute() else path
        except ValueError:
            return None
        known = (self._folder / relative).is_file() and "\n" not in str(relative)
        return relative.as_posix() if known else None

    def _send(self, what: _Left, within_s: float) -> _Left | None:
        """What is left of it to be sent; None: nothing, since Elasticsearch has it or never will."""
        from streaming.errors import Unavailable, VigilError
        from streaming.settings import load_settings
        from vigil_airflow.task_logs.lines import LogName, documents
        from vigil_airflow.task_logs.store import TaskLogIndex

        until = time.monotonic() + within_s
        try:
            with (self._folder / what.path).open("rb") as lines, TaskLogIndex(load_settings()) as index:
                written = datetime.fromtimestamp(os.fstat(lines.fileno()).st_mtime, UTC)
                found = documents(LogName.of(what.path), lines, written, what.after)
                done = index.write(found, until)
                return None if done is None else _Left(what.path, max(done, what.after))
        except FileNotFoundError:
            return None
        except Unavailable as error:
            self._away_until = time.monotonic() + PAUSE_S
            log.warning("Task logs go to local files alone for now, and to Elasticsearch later: %s", error)
            return what
        except (VigilError, OSError) as error:
            log.warning("%s is kept as a file alone: %s", what.path, error)
            return None

    def _catch_up(self) -> None:
        until = time.monotonic() + CATCH_UP_WITHIN_S
        with self._unsent.taken() as waiting:
            while waiting and (within_s := until - time.monotonic()) > 0:
                left = self._send(_Left.of_line(waiting[0]), within_s)
                waiting[:1] = [] if left is None else [left.as_line()]
                if time.monotonic() < self._away_until:
                    return


@dataclass(frozen=True)
class _Left:
    """A log file of which the lines behind `after` are not in Elasticsearch."""

    path: str
    after: int = 0

    def as_line(self) -> str:
        return f"{self.after} {self.path}"

    @classmethod
    def of_line(cls, line: str) -> _Left:
        after, _, path = line.partition(" ")
        return cls(path, int(after)) if after.isdecimal() else cls(line)


def _generator(lines: list[str]) -> Generator[str, None, None]:
    yield from lines


def _shown(settings: Settings) -> str:
    """Its address without user and password."""
    return settings.elasticsearch.rsplit("@", 1)[-1]
