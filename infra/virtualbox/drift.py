"""What Terraform does not see: machines that were deleted or switched off by hand, and names that are somebody else's.

The wrapper of the module compares VirtualBox with what is wanted (`vbox drift`); it is called as the module calls it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping

import msgspec

from infra.virtualbox.engine import MODULE
from streaming import decoding
from streaming.errors import VigilError

ANSWERS_WITHIN_S = 120.0
"""VBoxManage answers some ten questions a machine, each in a moment; its service may have to start first."""

WRAPPER = MODULE / "vbox"


class WrapperFailed(VigilError):
    """The wrapper ended with an error; the text is its own, with VBoxManage's reason."""


class Drift(msgspec.Struct, frozen=True):
    """As `vbox drift` prints it; all empty where nothing differs.

    `replace` are Terraform's addresses of what has to be made anew, `start` names of machines that are off, `foreign`
    what bears a name of this deployment and is somebody else's, `ports` host ports that others use, `found` a line for
    each difference.
    """

    vboxmanage: str
    replace: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    ports: Mapping[str, str] = msgspec.field(default_factory=dict)
    found: tuple[str, ...] = ()


def look(deployment: object) -> Drift:
    """Compares VirtualBox with Terraform's output `deployment`.

    Raises:
        WrapperFailed: VBoxManage is not there, does not answer, or refuses.
    """
    return decoding.decode(_call("drift", deployment), Drift)


def start(deployment: Mapping[str, object], machine: str) -> None:
    """Starts a machine that is there and off.

    Raises:
        WrapperFailed: it does not start.
    """
    machines = deployment["machines"]
    assert isinstance(machines, Mapping)
    of_machine = {"name": machine, **machines[machine]}
    _call("machine-start", {**deployment, "machine": of_machine})


def sweep(deployment: object) -> None:
    """Removes whatever is left in VirtualBox of the deployment, half-made things included.

    Raises:
        WrapperFailed: something cannot be removed.
    """
    _call("sweep", deployment)


def _call(command: str, spec: object) -> bytes:
    try:
        done = subprocess.run(
            [sys.executable, str(WRAPPER), command, "--spec", "-"],
            input=json.dumps(spec).encode(),
            capture_output=True,
            timeout=ANSWERS_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise WrapperFailed(f"VBoxManage has not answered within {ANSWERS_WITHIN_S:.0f} s ({command})") from error
    if done.returncode != 0:
        raise WrapperFailed(done.stderr.decode("utf-8", "replace").strip() or f"vbox {command} failed")
    return done.stdout
