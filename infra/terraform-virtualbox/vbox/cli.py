"""The commands, and how each is told what to make: as JSON in VBOX_SPEC, or in a file after `--spec` (`-`: input)."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from vbox import drift, forwards, image, machine, network
from vbox.errors import BadSpec, VboxError
from vbox.lock import locked
from vbox.manage import Manage, VBoxManage
from vbox.spec import Spec

VARIABLE = "VBOX_SPEC"


def _network_up(manage: Manage, spec: Spec) -> None:
    network.up(manage, spec.owner, spec.network, say)


def _network_down(manage: Manage, spec: Spec) -> None:
    machine.sweep(manage, spec, say)
    network.down(manage, spec.owner, spec.network.name, say)


def _sweep(manage: Manage, spec: Spec) -> None:
    machine.sweep(manage, spec, say, whole=True)
    network.down(manage, spec.owner, spec.network.name, say)
    image.clear(manage, spec.state_dir)


def _forwards_up(manage: Manage, spec: Spec) -> None:
    name = spec.root.object("machine").name()
    forwards.up(manage, spec.owner, spec.network.name, name, spec.forwards, say)


def _forwards_down(manage: Manage, spec: Spec) -> None:
    forwards.down(manage, spec.owner, spec.network.name, spec.root.object("machine").name(), say)


def _image_up(manage: Manage, spec: Spec) -> None:
    image.up(manage, spec.state_dir, spec.image, say)


def _image_down(manage: Manage, spec: Spec) -> None:
    image.down(manage, spec.state_dir, spec.image, say)


def _drift(manage: Manage, spec: Spec) -> None:
    print(json.dumps(drift.look(manage, spec).as_json(), indent=2))


COMMANDS: dict[str, tuple[str, Callable[[Manage, Spec], None]]] = {
    "network-up": ("make the NAT network", _network_up),
    "network-down": ("remove it with its forwards, and machines that are half made", _network_down),
    "forwards-up": ("make the port forwards of a machine, and no others", _forwards_up),
    "forwards-down": ("remove them", _forwards_down),
    "image-up": ("fetch, check and convert the image", _image_up),
    "image-down": ("remove the converted image; what was fetched stays", _image_down),
    "machine-up": ("make a machine and start it", lambda manage, spec: machine.up(manage, spec, say)),
    "machine-down": ("stop and remove it", lambda manage, spec: machine.down(manage, spec, say)),
    "machine-start": ("start a machine that is off", lambda manage, spec: machine.start(manage, spec, say)),
    "machine-stop": ("shut a machine down", lambda manage, spec: machine.stop(manage, spec, say)),
    "sweep": ("remove whatever is left of the deployment; what was fetched stays", _sweep),
    "drift": ("print as JSON how what is there differs from Terraform's output `deployment`", _drift),
}


def main(arguments: list[str]) -> int:
    """Runs one command. 0: done; 1: failed; 2: asked for wrongly; 3: refused; 130: ended by a signal."""
    parser = argparse.ArgumentParser(
        prog="vbox",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"  {name:14} {about}" for name, (about, _) in COMMANDS.items()),
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    parser.add_argument("--spec", metavar="FILE", help=f"what to make; without it the variable {VARIABLE} says")
    chosen = parser.parse_args(arguments)
    try:
        run(chosen.command, _text(chosen.spec))
    except VboxError as error:
        print("\n".join(error.lines()), file=sys.stderr, flush=True)
        return error.exit_code
    return 0


def run(command: str, text: str) -> None:
    """Runs one command under the lock of its state folder.

    Raises:
        VboxError: see its subclasses.
    """
    spec = Spec(text)
    with locked(spec.state_dir, say) as child:
        manage = VBoxManage(child)

        def ask_to_end(number: int, frame: FrameType | None) -> None:
            del frame
            say(f"{signal.Signals(number).name}: ending after this step")
            manage.asked.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, ask_to_end)
        COMMANDS[command][1](manage, spec)


def say(line: str) -> None:
    """Progress, for the log of whoever runs this."""
    print(line, file=sys.stderr, flush=True)


def _text(file: str | None) -> str:
    if file == "-":
        return sys.stdin.read()
    if file is not None:
        try:
            return Path(file).read_text(encoding="utf-8")
        except OSError as error:
            raise BadSpec(f"{file} cannot be read ({error.strerror})") from error
    if VARIABLE not in os.environ:
        raise BadSpec(f"nothing says what to make: neither --spec nor {VARIABLE}")
    return os.environ[VARIABLE]
