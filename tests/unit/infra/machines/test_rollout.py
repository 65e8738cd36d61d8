"""How a machine comes to be known: by its console at its first boot, and by what was pinned then at all others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.machines import host_keys, rollout
from infra.machines.inventory import parse
from infra.machines.target import Machines
from infra.machines.unreachable import MachineUnavailable, Server, Trouble
from streaming.errors import Unavailable
from streaming.settings import Settings
from tests.support import inventories

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43
SHOWN = f"-----BEGIN SSH HOST KEY KEYS-----\n{KEY} root@producer\n-----END SSH HOST KEY KEYS-----\n"


class Way:
    """Stands for the connections."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers

    def check(self, machine: str, command: Sequence[str], *, repeatable: bool) -> str:
        if not self.answers:
            raise MachineUnavailable(Server(machine, "h", 22, "u"), Trouble.HOST_KEY, "another key", "look")
        return ""


def known(folder: Path, console: str, *, answers: bool) -> Machines:
    value = inventories.two_machines()
    value["machines"]["producer"]["serial"] = str(folder / "serial.log")  # type: ignore[index]
    (folder / "serial.log").write_text(console)
    made = Machines(Settings(home=folder), parse(value, "test"), folder)
    made.__dict__["connections"] = Way(answers=answers)
    return made


def test_what_the_console_shows_is_pinned(tmp_path: Path) -> None:
    machines = known(tmp_path, SHOWN, answers=False)
    rollout.pin_host_key(machines, "producer", 0.0)
    assert len(host_keys.pinned(machines.known_hosts, "127.0.0.1", 2211)) == 1


def test_one_that_was_switched_on_again_is_known_already(tmp_path: Path) -> None:
    machines = known(tmp_path, "Debian GNU/Linux 12 producer ttyS0", answers=True)
    host_keys.pin(machines.known_hosts, {("127.0.0.1", 2211): [KEY]})
    rollout.pin_host_key(machines, "producer", 0.0)


@pytest.mark.parametrize("port", [None, 2211, 2212])
def test_one_that_shows_nothing_and_is_not_known_is_not_trusted(tmp_path: Path, port: int | None) -> None:
    """Not at the first deployment, not where its key is another one, not by the key of its neighbour."""
    machines = known(tmp_path, "", answers=port != 2211)
    if port is not None:
        host_keys.pin(machines.known_hosts, {("127.0.0.1", port): [KEY]})
    with pytest.raises(Unavailable, match="has not shown its host keys"):
        rollout.pin_host_key(machines, "producer", 0.0)
