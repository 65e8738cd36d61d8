"""What `systemctl show` says of units, as statuses of services. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from infra.machines.placement import Instance
from infra.machines.sudo_commands import SYSTEMCTL
from infra.machines.unreachable import plain
from infra.service_manager import RunState, ServiceStatus

PROPERTIES = (
    *("Id", "LoadState", "ActiveState", "SubState", "Result", "Job", "MainPID", "NRestarts"),
    *("ExecMainStartTimestamp", "ExecMainCode", "ExecMainStatus", "StatusText"),
)

_CLD_EXITED = "1"  # waitid(2); ExecMainCode is 2 or 3 where a signal ended it

_RESULTS = {
    "exit-code": "it ended with status",
    "signal": "it was ended by signal",
    "core-dump": "it crashed with signal",
    "oom-kill": "it took more memory than it may, and was ended",
    "watchdog": "it gave no sign of life, and was ended by the watchdog",
    "timeout": "it did not start or stop in time",
    "start-limit-hit": "it was started too often in a short time",
    "protocol": "it ended without having said that it is ready",
    "resources": "systemd could not start it: a folder, credential or limit cannot be had",
    "exec-condition": "a condition of its start does not hold",
}


def show_command(units: Iterable[str]) -> list[str]:
    """Asks for several units at once, as any user; times are seconds since the epoch."""
    options = ["--no-pager", "--timestamp=unix", f"--property={','.join(PROPERTIES)}"]
    return [SYSTEMCTL, "show", *options, "--", *units]


VERSION_COMMAND = [SYSTEMCTL, "--version"]


def version(text: str) -> int:
    """systemd's version by what `VERSION_COMMAND` says, such as `systemd 252 (252.38-1~deb12u1)`; 0: not understood."""
    words = text.split()
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


@dataclass(frozen=True)
class Shown:
    """One unit as `systemctl show` tells it; what it does not tell is empty."""

    properties: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.properties.get(name, "")

    @property
    def there(self) -> bool:
        """systemd knows the unit."""
        return self["LoadState"] not in ("not-found", "")

    @property
    def waits_to_restart(self) -> bool:
        """It ended, and systemd will start it again by itself."""
        return self["ActiveState"] == "activating" and self["SubState"].startswith("auto-restart")


def read(text: str, units: Sequence[str]) -> dict[str, Shown]:
    """The answer to `show_command`, by unit. Units that are missing in it are as those that systemd does not know."""
    found = {}
    for block in text.replace("\r", "").split("\n\n"):
        lines = (line.partition("=") for line in block.splitlines() if "=" in line)
        shown = Shown({key: value for key, _, value in lines})
        found[shown["Id"]] = shown
    return {unit: found.get(unit, Shown({"Id": unit})) for unit in units}


def status(instance: Instance, shown: Shown, last_lines: Sequence[str] = ()) -> ServiceStatus:
    """One service on one machine, named `SERVICE@MACHINE`.

    A unit that is asked to start but waits for another is starting; one that ended and will be tried again is too, and
    its detail says why it ended; one that will not is failed.

    Args:
        last_lines: of its journal, oldest first; part of the reason of what ended.
    """
    name = str(instance)
    if not shown.there:
        return ServiceStatus(name, RunState.FAILED, None, f"{instance.unit} is not installed; deploy the platform")
    pid = int(shown["MainPID"]) if shown["MainPID"].isdigit() and shown["MainPID"] != "0" else None
    match shown["ActiveState"]:
        case "active" | "reloading":
            return ServiceStatus(name, RunState.RUNNING, pid, _told(shown), _started_ms(shown))
        case "deactivating":
            return ServiceStatus(name, RunState.RUNNING, pid, "stopping")
        case "activating" if shown.waits_to_restart:
            why = f"tried again soon, for the {_ordinal(shown)} time; {_why(shown, last_lines)}"
            return ServiceStatus(name, RunState.STARTING, None, why)
        case "activating":
            return ServiceStatus(name, RunState.STARTING, pid, _told(shown), _started_ms(shown) if pid else None)
        case "failed":
            if _has_job(shown):
                return ServiceStatus(name, RunState.STARTING, None, "waits for what it needs")
            return ServiceStatus(name, RunState.FAILED, None, _why(shown, last_lines))
        case _ if _has_job(shown):
            return ServiceStatus(name, RunState.STARTING, None, "waits for what it needs")
        case _:
            return ServiceStatus(name, RunState.STOPPED, None, "")


def ended_by_itself(shown: Shown) -> bool:
    """Whether its journal has a reason to show."""
    return shown.there and (shown["ActiveState"] == "failed" or shown.waits_to_restart)


def _told(shown: Shown) -> str:
    """What a program says of itself while it runs; that it is healthy is no detail."""
    text = plain(shown["StatusText"])
    return "" if text == "healthy" else text


def _has_job(shown: Shown) -> bool:
    return shown["Job"] not in ("", "0")


def _ordinal(shown: Shown) -> str:
    number = int(shown["NRestarts"] or 0) + 1
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _why(shown: Shown, last_lines: Sequence[str]) -> str:
    result, code = shown["Result"], shown["ExecMainStatus"]
    reason = _RESULTS.get(result, f"it failed ({plain(result) or 'no reason given'})")
    if result in ("exit-code", "signal", "core-dump"):
        reason = f"{reason} {code or '?'}"
    elif result == "start-limit-hit" and shown["ExecMainCode"] == _CLD_EXITED and code != "0":
        reason = f"{reason}; at last it ended with status {code}"
    said = " | ".join(line for line in last_lines if line)
    return f"{reason}: {said}" if said else reason


def _started_ms(shown: Shown) -> int | None:
    text = shown["ExecMainStartTimestamp"]
    if text.startswith("@") and text[1:].isdigit():
        return int(text[1:]) * 1000 or None
    # systemd before 248 knows no --timestamp=unix: `Thu 2026-11-26 14:20:19 UTC`.
    try:
        return int(datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).timestamp()) * 1000
    except ValueError:
        return None
