"""Calls of VBoxManage: one at a time, to their end, with its own reason where one fails."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from vbox.errors import Interrupted, ManageFailed, VboxError
from vbox.lock import Child

PROGRAM = "VIGIL_VBOXMANAGE"
"""Environment variable that names VBoxManage where it is not on the PATH."""

Say = Callable[[str], None]
"""Is given each line of progress."""

SHORT_S = 120.0
"""For calls that change settings: they take tenths of a second, and a first one starts VirtualBox's service."""
LONG_S = 3600.0
"""For calls that copy a disk: 10 GB on a slow one at 10 MB/s take 17 minutes."""

_ERROR = re.compile(r"^VBoxManage(?:\.exe)?: error: ?(.*)$")
_CODE = re.compile(r"\b(VBOX_E_[A-Z_]+|NS_ERROR_[A-Z_]+|E_[A-Z_]+)\b")


class Manage(Protocol):
    """One VBoxManage for one run of a command."""

    def __call__(self, *arguments: str, doing: str, timeout_s: float = SHORT_S) -> str:
        """What it wrote to standard output.

        Args:
            arguments: after the program's name.
            doing: what the call is for, as in "starting machine 'x'"; begins the error's line.
            timeout_s: after that it is ended.

        Raises:
            ManageFailed: it ended with an error, or took too long.
            Interrupted: a signal has asked this run to end, and this is no part of cleaning up.
        """
        ...

    def cleaning(self) -> AbstractContextManager[None]:
        """While it is entered, calls go on although a signal has asked this run to end."""
        ...

    def check(self) -> None:
        """Raises Interrupted if a signal has asked this run to end, and it does not clean up."""
        ...


class Interruptions:
    """Whether a run was asked to end. A signal only sets it: no call of VBoxManage is cut off half-way."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._cleaning = 0

    @contextmanager
    def cleaning(self) -> Iterator[None]:
        """Inside, `check` lets everything pass."""
        self._cleaning += 1
        try:
            yield
        finally:
            self._cleaning -= 1

    def check(self) -> None:
        """Raises Interrupted where that was asked for."""
        if self.asked.is_set() and not self._cleaning:
            raise Interrupted("ended by a signal", remedy="Run it again: it begins where nothing is half made")


class VBoxManage(Interruptions):
    """The program itself."""

    def __init__(self, child: Child, program: Path | None = None) -> None:
        super().__init__()
        self._program = program or find_program()
        self._child = child

    def __call__(self, *arguments: str, doing: str, timeout_s: float = SHORT_S) -> str:
        self.check()
        # A session of its own: a Ctrl-C in the terminal must not cut it off between two of its steps.
        process = subprocess.Popen(
            [str(self._program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
        )
        with self._child.running(process.pid):
            try:
                out, err = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise ManageFailed(
                    doing, status=-9, code="", reason=f"VBoxManage {arguments[0]} took more than {timeout_s:.0f} s"
                ) from None
        if process.returncode:
            raise failure(doing, process.returncode, err.decode(errors="replace"))
        return out.decode(errors="replace")


def find_program() -> Path:
    """VBoxManage, by VIGIL_VBOXMANAGE or on the PATH.

    Raises:
        VboxError: there is none.
    """
    named = os.environ.get(PROGRAM)
    found = shutil.which(named or "VBoxManage")
    if found is None:
        where = f"{PROGRAM}={named} is no program" if named else "VBoxManage is not on the PATH"
        raise VboxError(where, remedy=f"Install VirtualBox 7.0 or newer, or name its VBoxManage in {PROGRAM}")
    return Path(found)


def failure(doing: str, status: int, err: str) -> ManageFailed:
    """The error of a call from its exit code and what it wrote to standard error.

    `reason` holds VBoxManage's own lines without `VBoxManage: error: `; progress bars and usage texts are left out.
    """
    lines = [match[1] for line in err.splitlines() if (match := _ERROR.match(line)) and match[1]]
    lines = [line for line in lines if not line.startswith("Context:")]
    code = next((found[1] for line in lines if (found := _CODE.search(line))), "")
    if not lines:
        lines = [line for line in err.splitlines() if line.strip()][-3:]
    return ManageFailed(doing, status=status, code=code, reason="\n".join(lines))


def _environment() -> dict[str, str]:
    # Messages are read: they must be the untranslated ones, and paths UTF-8.
    return {**os.environ, "LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "LANGUAGE": "C"}
