"""Another SSH key on a real OpenSSH server: added, tried, taken, the old one removed; broken off and gone on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.machines.host_keys import pin
from infra.machines.inventory import Inventory, parse
from infra.machines.keys import ensure_key, load_key, public_half
from infra.machines.rotation.ssh_key import replace_key
from infra.machines.ssh import Connections
from infra.machines.target import Machines
from infra.machines.unreachable import MachineUnavailable, Trouble
from streaming.settings import Settings
from tests.support.inventories import two_machines
from tests.support.sshd import QUICK, Sshd, sshd

OTHERS = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA somebody else's"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def machines(server: Sshd, tmp_path: Path) -> Iterator[Machines]:
    """A deployment whose machines are all this server."""
    found = parse(two_machines(), "test")
    account = {"host": "127.0.0.1", "port": server.port}
    everyone = {
        name: machine.model_copy(
            update={"user": server.server.user, "ssh": machine.ssh_address.model_copy(update=account)}
        )
        for name, machine in found.machines.items()
    }
    inventory: Inventory = found.model_copy(update={"machines": everyone})
    made = Machines(Settings(home=tmp_path), inventory, tmp_path)
    public = ensure_key(made.key, "test")
    (server.folder / "authorized_keys").write_text(f"# kept\n{OTHERS}\n{public}\n")
    pin(made.known_hosts, {("127.0.0.1", server.port): [server.host_key]})
    yield made
    made.close()


def rotate(machines: Machines, server: Sshd) -> None:
    replace_key(machines, lambda _: None, str(server.folder / "authorized_keys"))


def gets_in(machines: Machines, server: Sshd, key: Path) -> bool:
    with Connections({"producer": server.server}, key, machines.known_hosts, QUICK) as fresh:
        try:
            return fresh.check("producer", ["echo", "in"]) == "in\n"
        except MachineUnavailable as error:
            if error.trouble is not Trouble.AUTHENTICATION:
                raise
            return False


def test_the_old_one_is_refused_and_keys_of_others_stay(machines: Machines, server: Sshd, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.touch(0o600)
    old.write_bytes(machines.key.read_bytes())
    assert gets_in(machines, server, old)
    rotate(machines, server)
    assert gets_in(machines, server, machines.key)
    assert not gets_in(machines, server, old)
    assert machines.connections.check("consumer", ["echo", "still"]) == "still\n"
    now = public_half(load_key(machines.key))
    assert (server.folder / "authorized_keys").read_text() == f"# kept\n{OTHERS}\n{now}\n"
    assert sorted(path.name for path in machines.key.parent.iterdir()) == ["id_ed25519", "known_hosts"]


@pytest.mark.parametrize("step", [1, 3, 5])
def test_it_goes_on_where_it_was_broken_off(
    machines: Machines, server: Sshd, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Of its calls to the two machines: two add, two try, two remove; the second of each."""
    made = [0]

    def broken(call: Callable[..., object]) -> Callable[..., object]:
        def tried(*arguments: object, **more: object) -> object:
            made[0] += 1
            if made[0] == step + 1:
                raise KeyboardInterrupt
            return call(*arguments, **more)

        return tried

    with monkeypatch.context() as patch:
        patch.setattr(Connections, "check", broken(Connections.check))
        with pytest.raises(KeyboardInterrupt):
            rotate(machines, server)
    assert gets_in(machines, server, machines.key), "whatever happened, this host gets in"
    rotate(machines, server)
    lines = (server.folder / "authorized_keys").read_text().splitlines()
    assert lines == ["# kept", OTHERS, public_half(load_key(machines.key))]
    assert gets_in(machines, server, machines.key)
