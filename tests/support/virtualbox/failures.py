"""Errors as the real VBoxManage writes them, and failures that a test asks for."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

# Of the real one's VirtualBox_constants and xpcom headers.
CODES = {
    "VBOX_E_OBJECT_NOT_FOUND": 0x80BB0001,
    "VBOX_E_INVALID_VM_STATE": 0x80BB0002,
    "VBOX_E_VM_ERROR": 0x80BB0003,
    "VBOX_E_FILE_ERROR": 0x80BB0004,
    "VBOX_E_IPRT_ERROR": 0x80BB0005,
    "VBOX_E_INVALID_OBJECT_STATE": 0x80BB0007,
    "VBOX_E_NOT_SUPPORTED": 0x80BB0009,
    "VBOX_E_OBJECT_IN_USE": 0x80BB000C,
    "NS_ERROR_INVALID_ARG": 0x80070057,
}


class Failed(Exception):
    """A call fails: what goes to standard error, and the exit code."""

    def __init__(self, *lines: str, status: int = 1) -> None:
        super().__init__(lines[0])
        self.text = "".join(f"VBoxManage: error: {line}\n" for line in lines)
        self.status = status


def com(message: str, code: str, component: str = "MachineWrap", interface: str = "IMachine", *more: str) -> Failed:
    """An error that comes from VirtualBox's service."""
    details = f"Details: code {code} (0x{CODES[code]:08x}), component {component}, interface {interface}"
    context = 'Context: "RTEXITCODE handle(HandlerArg *)" at line 1 of file VBoxManage.cpp'
    return Failed(message, f"{details}, callee nsISupports", context, *more)


def syntax(message: str) -> Failed:
    """A call that the real one does not understand: exit 2. The usage that it prints before is left out."""
    return Failed(message, status=2)


def argument(message: str) -> Failed:
    """A value that the real one refuses: exit 2."""
    return Failed(message, status=2)


@dataclass(frozen=True)
class Wanted:
    """What a test asks for, in JSON in VBOX_EMULATED_FAIL or in `fail.json` of the state folder.

    `nth`: this call since the record was begun, from 1; or `pattern`: calls whose arguments, joined by blanks, have it
    somewhere. `times`: at most so often. `after`: the call does its work, and fails then. `hold`: the call does not
    fail; it makes a file of this name with `.waiting` at its end, and goes on once the file itself is there.
    """

    nth: int | None = None
    pattern: str | None = None
    times: int = 1
    after: bool = False
    hold: str | None = None
    message: str = "Injected failure"
    code: str = "VBOX_E_VM_ERROR"

    def meets(self, number: int, arguments: list[str], injected: int) -> bool:
        """Whether call `number` is meant; `injected`: how many were made to fail before."""
        if injected >= self.times:
            return False
        if self.nth is not None:
            return number == self.nth
        return self.pattern is not None and re.search(self.pattern, " ".join(arguments)) is not None

    def failure(self) -> Failed:
        """The error."""
        return com(self.message, self.code)

    def wait(self) -> None:
        """Holds the call."""
        if self.hold is None:
            return
        Path(f"{self.hold}.waiting").touch()
        while not Path(self.hold).exists():
            time.sleep(0.01)


def wanted(home: Path) -> Wanted | None:
    """What a test asks for, if anything."""
    text = os.environ.get("VBOX_EMULATED_FAIL")
    if text is None:
        try:
            text = (home / "fail.json").read_text(encoding="utf-8")
        except OSError:
            return None
    return Wanted(**json.loads(text))
