"""The emulated VBoxManage: one call after another over one state, each recorded in `calls.jsonl` of the state folder.

VBOX_EMULATED_HOME names the state folder; `failures.Wanted` says how calls are made to fail.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

if __package__ in (None, ""):  # called by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.support.virtualbox import machines, media, model, natnetwork, power
from tests.support.virtualbox.boot import BootError
from tests.support.virtualbox.failures import Failed, Wanted, com, syntax, wanted
from tests.support.virtualbox.model import State

VERSION = "7.1.4r165100"


@dataclass(frozen=True)
class Answer:
    """What a call wrote, and its exit code."""

    status: int
    out: str
    err: str


def run(arguments: list[str]) -> Answer:
    """One call, as the executable makes it."""
    home = model.home()
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home / "record.lock"):
        number, asked = _next(home, arguments)
    if asked is not None and asked.hold is not None:
        asked.wait()
        asked = None
    with _locked(home / "lock"):
        state = model.load()
        try:
            if asked is not None and not asked.after:
                raise asked.failure()
            out = _dispatch(state, arguments)
            if asked is not None:
                raise asked.failure()
            answer = Answer(0, out, media.progress(arguments[0] if arguments else ""))
        except Failed as failed:
            answer = Answer(failed.status, "", failed.text)
        except BootError as error:
            answer = Answer(1, "", com(str(error), "VBOX_E_VM_ERROR").text)
        model.save(state)
    _record(home, number=number, arguments=arguments, status=answer.status, error=answer.err.partition("\n")[0])
    return answer


def calls(home: Path) -> list[list[str]]:
    """The arguments of all calls so far, in the order in which they began."""
    lines = (home / "begun.jsonl").read_text(encoding="utf-8").splitlines() if (home / "begun.jsonl").exists() else []
    return [json.loads(line)["arguments"] for line in lines]


def _dispatch(state: State, arguments: list[str]) -> str:
    if not arguments:
        return "Oracle VirtualBox Command Line Management Interface\n"
    command, *rest = [word for word in arguments if word not in ("-q", "--nologo")]
    table = {
        "list": _list,
        "natnetwork": natnetwork.run,
        "createvm": machines.createvm,
        "modifyvm": machines.modifyvm,
        "storagectl": machines.storagectl,
        "storageattach": machines.storageattach,
        "unregistervm": machines.unregistervm,
        "showvminfo": machines.showvminfo,
        "discardstate": machines.discardstate,
        "startvm": power.startvm,
        "controlvm": power.controlvm,
        "setextradata": _setextradata,
        "getextradata": _getextradata,
        "clonemedium": media.clonemedium,
        "convertfromraw": media.convertfromraw,
        "modifymedium": media.modifymedium,
        "closemedium": media.closemedium,
    }
    if command in ("--version", "-v"):
        return f"{VERSION}\n"
    if command not in table:
        raise syntax(f"Invalid command '{command}'")
    return table[command](state, rest)


def _list(state: State, arguments: list[str]) -> str:
    what = arguments[-1] if arguments else ""
    if what == "vms":
        return "".join(f'"{machine.name}" {{{machine.uuid}}}\n' for machine in state.machines.values())
    if what == "runningvms":
        on = [machine for machine in state.machines.values() if power.refreshed(machine, state) in power.ON]
        return "".join(f'"{machine.name}" {{{machine.uuid}}}\n' for machine in on)
    if what in ("natnets", "natnetworks"):
        return "".join(natnetwork.shown(network, whole="--long" in arguments) for network in state.networks.values())
    if what in ("hdds", "dvds"):
        return media.listed(state, what[:-1])
    raise syntax(f"Unknown option: {what}" if what.startswith("-") else f'Unknown subcommand "{what}".')


def _extra(state: State, target: str) -> dict[str, str]:
    return state.extra if target == "global" else state.machine(target).extra


def _setextradata(state: State, arguments: list[str]) -> str:
    if len(arguments) not in (2, 3):
        raise syntax("Not enough parameters" if len(arguments) < 2 else "Too many parameters")
    extra = _extra(state, arguments[0])
    if len(arguments) == 3 and arguments[2]:
        extra[arguments[1]] = arguments[2]
    else:
        extra.pop(arguments[1], None)
    return ""


def _getextradata(state: State, arguments: list[str]) -> str:
    if len(arguments) != 2:
        raise syntax("Incorrect number of parameters")
    extra = _extra(state, arguments[0])
    if arguments[1] == "enumerate":
        return "".join(f"Key: {key}, Value: {value}\n" for key, value in sorted(extra.items()))
    return f"Value: {extra[arguments[1]]}\n" if arguments[1] in extra else "No value set!\n"


def _next(home: Path, arguments: list[str]) -> tuple[int, Wanted | None]:
    """The call's number, and what a test wants of it."""
    begun = home / "begun.jsonl"
    before = [json.loads(line) for line in begun.read_text(encoding="utf-8").splitlines()] if begun.exists() else []
    number = len(before) + 1
    asked = wanted(home)
    injected = sum(1 for entry in before if entry["injected"])
    if asked is not None and not asked.meets(number, arguments, injected):
        asked = None
    with begun.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"number": number, "arguments": arguments, "injected": asked is not None}) + "\n")
    return number, asked


def _record(home: Path, **entry: object) -> None:
    with (home / "calls.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def main() -> int:
    """The executable."""
    answer = run(sys.argv[1:])
    sys.stdout.write(answer.out)
    sys.stderr.write(answer.err)
    return answer.status


if __name__ == "__main__":
    sys.exit(main())
