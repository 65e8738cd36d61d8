"""What a person reads when something fails: one line first, then VBoxManage's own reason, then the remedy."""

from __future__ import annotations


class VboxError(Exception):
    """A command failed. `str()` is the one line; `reason` is the cause in its own words, `remedy` what to do."""

    exit_code = 1

    def __init__(self, message: str, *, reason: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.remedy = remedy

    def lines(self) -> list[str]:
        """The whole as it is printed."""
        said = [f"vbox: error: {self}"]
        if self.reason:
            said.append("reason: " + "\n        ".join(self.reason.splitlines()))
        if self.remedy:
            said.append(f"remedy: {self.remedy}")
        return said


class Refused(VboxError):
    """Something of that name is there that this deployment did not make, or a port belongs to somebody else."""

    exit_code = 3


class BadSpec(VboxError):
    """What was asked for is not of the form that the command takes."""

    exit_code = 2


class Interrupted(VboxError):
    """A signal asked to end; what was half made has been removed."""

    exit_code = 130


class ManageFailed(VboxError):
    """VBoxManage ended with an error. `code` is its own (VBOX_E_…; empty: it gave none), `status` its exit code."""

    def __init__(self, doing: str, *, status: int, code: str, reason: str) -> None:
        first = reason.splitlines()[0] if reason else f"exit code {status}, no message"
        super().__init__(f"{doing} failed: {first}", reason=reason)
        self.status = status
        self.code = code
