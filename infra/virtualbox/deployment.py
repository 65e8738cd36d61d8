"""One deployment to VirtualBox: its plan, which a person approves, and the application of exactly that plan."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from infra.machines import inventory as inventories
from infra.machines.inventory import Inventory
from infra.machines.keys import ensure_key, key_file
from infra.virtualbox import changes, drift
from infra.virtualbox.changes import Change
from infra.virtualbox.drift import Drift
from infra.virtualbox.engine import Engine, Report
from infra.virtualbox.wanted import Wanted, variables
from streaming import decoding
from streaming.errors import ConfigError, Unavailable, VigilError
from streaming.files import write_whole
from streaming.settings import Settings

KEPT = ("backups", "exports")
"""Folders of a deployment that outlive it."""

_MACHINE = re.compile(r'terraform_data\.machine\["([a-z0-9-]+)"\]')


class Refused(VigilError):
    """VirtualBox holds what is somebody else's under a name of this deployment, or a host port is in use."""


@dataclass(frozen=True)
class Proposal:
    """What would be done. `sha256` names the very plan file: only that one is applied.

    `drift` are lines about what Terraform does not see; machines of `start` are there and off, and are started when
    the plan is applied.
    """

    sha256: str
    changes: tuple[Change, ...]
    drift: tuple[str, ...]
    start: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Nothing is to be done."""
        return not self.changes and not self.start

    @property
    def losses(self) -> tuple[str, ...]:
        """Names of what loses something for good."""
        return tuple(f"{one.what}: {one.lost}" for one in self.changes if one.lost)


class Deployment:
    """By its name. All that it keeps is in `<VIGIL_HOME>/machines/<name>`."""

    def __init__(self, settings: Settings, name: str, report: Report) -> None:
        self.name, self._report = name, report
        self.folder = settings.home.resolve() / "machines" / name
        self._engine = Engine(self.folder, report)
        self._plan = self.folder / "plan"
        self._wanted, self._spec = self.folder / "wanted.json", self.folder / "spec.json"

    @property
    def exists(self) -> bool:
        """Something was applied once, and not torn down since."""
        return bool(self._outputs())

    @property
    def wanted_before(self) -> dict[str, object]:
        """What was wanted the last time, as `wanted.parse` takes it; empty: there was no time before."""
        try:
            return decoding.decode(self._wanted.read_bytes(), dict[str, object])
        except FileNotFoundError:
            return {}
        except msgspec.DecodeError as error:
            raise ConfigError(str(error), file=self._wanted, remedy="Remove it, and give all that is wanted") from error

    @property
    def machines(self) -> tuple[str, ...]:
        """Names of the machines that Terraform's state has."""
        found = (_MACHINE.fullmatch(address) for address in self._engine.addresses())
        return tuple(match[1] for match in found if match)

    def propose(self, wanted: Wanted) -> Proposal:
        """Plans what leads to what is wanted, repairs included, and changes nothing but its own plan file.

        Raises:
            Refused: a name or a port is somebody else's; the text says which.
            VigilError: Terraform or VBoxManage is not there, or refuses; the text says why.
        """
        public = ensure_key(key_file(self.folder), f"vigil {self.name}")
        write_whole(self._wanted, wanted.model_dump_json(indent=1).encode() + b"\n")
        write_whole(self._engine.variables, variables(wanted, self.name, self.folder, public).encode())
        self._engine.init()
        self._engine.plan(self._plan)
        planned = changes.read(self._engine.shown(self._plan))
        seen = drift.look(planned.outputs["deployment"])
        self._refuse_what_is_not_ours(seen)
        # For the end, also of a deployment whose first application failed before it had any output.
        write_whole(self._spec, msgspec.json.encode(planned.outputs["deployment"]))
        # What is to be made has no state yet, so only the rest can be made anew.
        gone = tuple(address for address in seen.replace if address in self._in_state())
        if gone:
            self._engine.plan(self._plan, replace=gone)
            planned = changes.read(self._engine.shown(self._plan))
        made_anew = {one.what for one in planned.changes}
        start = tuple(name for name in seen.start if f"machine {name}" not in made_anew)
        return Proposal(self._sum(), planned.changes, seen.found if self.exists else (), start)

    def propose_end(self) -> Proposal:
        """Plans the destruction of all.

        Raises:
            VigilError: as `propose`.
        """
        if not self._engine.variables.exists():
            raise ConfigError(f"there is no deployment {self.name!r} below {self.folder}", remedy="Check its name")
        self._engine.init()
        self._engine.plan(self._plan, destroy=True)
        return Proposal(self._sum(), changes.read(self._engine.shown(self._plan)).changes, (), ())

    def apply(self, proposal: Proposal) -> None:
        """Does what was proposed, and nothing else; told line by line. The plan file is gone afterwards.

        Raises:
            ConfigError: the plan is not the proposed one any more; propose again.
            VigilError: a step failed. What was made before it is kept; propose again, and the rest is done.
        """
        try:
            if self._sum() != proposal.sha256:
                raise ConfigError("another plan was made since this one was approved", remedy="Propose again")
            if proposal.changes:
                self._engine.apply(self._plan)
        finally:
            self._plan.unlink(missing_ok=True)
        deployment = self._outputs().get("deployment")
        for machine in proposal.start:
            self._report(f"machine {machine} is started")
            assert isinstance(deployment, Mapping)
            drift.start(deployment, machine)

    def end(self, proposal: Proposal) -> None:
        """Destroys all, as `propose_end` proposed, and whatever is left of half-made things; then nothing of it is in
        VirtualBox, and no key, state or fetched image here. Again: nothing happens. Backups and exports are left.

        Raises:
            ConfigError, VigilError: as `apply`.
        """
        self.apply(proposal)
        if self._spec.exists():
            drift.sweep(decoding.decode(self._spec.read_bytes(), object))
        for left in self.folder.iterdir():
            if left.name not in KEPT:
                shutil.rmtree(left) if left.is_dir() else left.unlink()

    def inventory(self) -> Inventory:
        """Of what was applied.

        Raises:
            Unavailable: nothing was.
        """
        found = self._outputs().get("inventory")
        if found is None:
            raise Unavailable(f"deployment {self.name!r} has no machines yet; deploy_platform makes them")
        return inventories.parse(found, f"Terraform's output of {self.name}")

    def _outputs(self) -> dict[str, object]:
        if not self._engine.state.exists():
            return {}
        found = decoding.decode(self._engine.outputs(), dict[str, dict[str, object]])
        return {name: output.get("value") for name, output in found.items()}

    def _in_state(self) -> frozenset[str]:
        return frozenset(self._engine.addresses())

    def _sum(self) -> str:
        try:
            return hashlib.sha256(self._plan.read_bytes()).hexdigest()
        except FileNotFoundError:
            return ""

    def _refuse_what_is_not_ours(self, seen: Drift) -> None:
        taken = [f"host port {port} is in use: {by}" for port, by in seen.ports.items()]
        foreign = [f"{what} exists and is not this deployment's" for what in seen.foreign]
        if taken or foreign:
            raise Refused(
                "; ".join([*foreign, *taken]) + ". Nothing was changed. Give the deployment another name or other "
                "ports, or remove what is in the way"
            )
