"""Stands for a machine's sudo, systemctl and journalctl behind a real SSH server (`ForceCommand`).

`python -I -S fake_systemd.py FOLDER` runs what the client asked for (SSH_ORIGINAL_COMMAND) as those would: sudo takes
exact commands of its list and nothing else, and units move by systemd's rules. Their state lies in FOLDER as JSON, for
the test to look at and to change.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import sys
from pathlib import Path

Unit = dict[str, str]

EMPTY: Unit = {
    "LoadState": "loaded", "ActiveState": "inactive", "SubState": "dead", "Result": "success", "MainPID": "0",
    "NRestarts": "0", "ExecMainStartTimestamp": "", "ExecMainCode": "0", "ExecMainStatus": "0", "StatusText": "",
}  # fmt: skip
RUNNING = {
    "ActiveState": "active",
    "SubState": "running",
    "Result": "success",
    "MainPID": "321",
    "ExecMainStartTimestamp": "@1795702819",
}


def main() -> int:
    folder = Path(sys.argv[1])
    command = shlex.split(os.environ.get("SSH_ORIGINAL_COMMAND", ""))
    with (folder / "calls").open("a") as calls:
        calls.write(json.dumps(command) + "\n")
    if command[:3] == ["/usr/bin/sudo", "-n", "--"]:
        command = command[3:]
        if command not in json.loads((folder / "allowed.json").read_text()):
            print("sudo: a password is required", file=sys.stderr)
            return 1
    elif command[:2] != ["/usr/bin/systemctl", "show"]:
        print("Interactive authentication required.", file=sys.stderr)
        return 4
    if command[0].endswith("journalctl"):
        return journal(folder, command[2], int(command[4]))
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        units: dict[str, Unit] = json.loads((folder / "units.json").read_text())
        status = show(units, command) if command[1] == "show" else act(units, command[1], command[-1])
        (folder / "units.json").write_text(json.dumps(units))
    return status


def show(units: dict[str, Unit], command: list[str]) -> int:
    asked = next(part for part in command if part.startswith("--property=")).removeprefix("--property=").split(",")
    blocks = []
    for name in command[command.index("--") + 1 :]:
        unit = units.get(name, EMPTY | {"LoadState": "not-found"}) | {"Id": name}
        blocks.append("\n".join(f"{key}={unit[key]}" for key in asked if key in unit))
    print("\n\n".join(blocks))
    return 0


def act(units: dict[str, Unit], verb: str, name: str) -> int:
    if name not in units:
        print(f"Failed to {verb} {name}: Unit {name} not found.", file=sys.stderr)
        return 5
    unit = units[name]
    waits = unit["SubState"] == "auto-restart"
    if verb == "reset-failed":
        unit.pop("StartLimitHit", None)
        if unit["ActiveState"] == "failed":
            unit.update(EMPTY)
    elif verb == "stop" and (canceled := int(unit.get("CanceledStops", "0"))):
        unit["CanceledStops"] = str(canceled - 1)
        print(f"Job for {name} canceled.", file=sys.stderr)
        return 1
    elif verb == "stop":
        # A stopped unit that had failed before stays failed.
        if unit["ActiveState"] != "failed":
            unit.update(EMPTY)
    elif unit.get("StartLimitHit"):
        print(f"Job for {name} failed because start of the service was attempted too often.", file=sys.stderr)
        return 1
    elif verb == "restart" or (unit["ActiveState"] != "active" and not waits):
        unit.update(RUNNING)
        unit["starts"] = str(int(unit.get("starts", "0")) + 1)
    return 0


def journal(folder: Path, name: str, lines: int) -> int:
    file = folder / f"{name}.journal"
    kept = file.read_text().splitlines()[-lines:] if file.exists() else []
    print("\n".join(kept))
    return 0


if __name__ == "__main__":
    sys.exit(main())
