"""A deployment to two emulated machines: what is wanted, its software, its machines; deployed as often as asked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.bringing_up import bring_up
from infra.machines import deploying, rollout
from infra.machines.as_target import target_around
from infra.machines.known import Origin
from infra.machines.software import Guest, ensure_software
from infra.machines.target import Machines
from infra.virtualbox.deployment import Deployment
from infra.virtualbox.wanted import Wanted, parse
from streaming.settings import CHECKOUT, Settings
from tests.support.virtualbox import harness, host
from tests.support.virtualbox.harness import Emulated
from tests.support.virtualbox.host import Host


class Place:
    """One deployment: what is wanted, where its software is, and its machines once they are made."""

    def __init__(self, folder: Path, box: Emulated, software_of: Path | None = None) -> None:
        self.box, self.said = box, list[str]()
        self.settings = _settings(folder)
        self.software = software_of or software(folder)
        source = harness.image(folder)
        checksum = f"sha256:{hashlib.sha256(source.read_bytes()).hexdigest()}"
        self.wanted: Wanted = parse({"image": {"source": str(source), "checksum": checksum}}, "test")
        self.deployment = Deployment(self.settings, "vigil", self.said.append)
        self.machines: Machines | None = None
        self.around: Host | None = None

    def deploy(self) -> dict[str, rollout.Rolled]:
        """All of it, as often as one likes; what was changed on each machine."""
        self.deployment.apply(self.deployment.propose(self.wanted))
        machines = self.machines = Machines(self.settings, self.deployment.inventory(), self.deployment.folder)
        deploying.reach(machines, Origin.VIRTUALBOX, self.said.append)
        deploying.await_first_boot(machines, self.said.append)
        for name in machines.inventory.machines:
            rollout.install(machines, name, self.software)
        rolled = deploying.configure(machines, self.said.append)
        bring_up(target_around(machines), self.said.append)
        return rolled

    def started(self) -> dict[str, int | None]:
        """When each service was started."""
        assert self.machines is not None
        return {status.name: status.started_ms for status in self.machines.manager.all()}


def _settings(folder: Path) -> Settings:
    return Settings(home=folder / "home", jars_path=str(CHECKOUT / ".vigil" / "jars"))


def software(folder: Path) -> Path:
    """What machines are given, for as many places as one likes. To be called from outside of the machines' network,
    which has no way to any index."""
    return ensure_software(_settings(folder), Guest(), lambda _: None)


@contextmanager
def emulated(folder: Path, software_of: Path | None = None) -> Iterator[Place]:
    """A place on an emulated host of its own, with this thread in the host's network; nothing is deployed yet.

    Args:
        folder: of the place.
        software_of: what machines are given, as `software` made it; None: it is made.

    Raises:
        HostUnavailable: machines cannot be emulated here.
    """
    box = Emulated(folder / "virtualbox")
    with host.emulated_host() as around, pytest.MonkeyPatch.context() as patch:
        made = Place(folder, box, software_of)
        made.around = around
        for name, value in {**box.environment(), **around.environment}.items():
            patch.setenv(name, value)
        with around.inside():
            try:
                yield made
            finally:
                if made.machines is not None:
                    made.machines.close()
