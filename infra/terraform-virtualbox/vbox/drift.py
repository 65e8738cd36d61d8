"""How what is there differs from what Terraform believes: it does not look itself, and plans "no changes"."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from vbox import facts, image, network, ports
from vbox.manage import Manage
from vbox.owner import MADE, OWNER, forwards_key, owns_machine, owns_network
from vbox.spec import Spec, forward


@dataclass
class Drift:
    """What differs. All lists are empty where nothing does.

    `replace` are addresses for `terraform plan -replace=`, `start` are machines that are there but off (`machine-start`
    mends that), `foreign` says what of this deployment's names belongs to somebody else, `ports` which host ports are
    taken by others, and `found` holds one line for each difference, for a person.
    """

    vboxmanage: str
    replace: list[str] = field(default_factory=list)
    start: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    ports: dict[int, str] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """As it is printed."""
        return asdict(self)


def look(manage: Manage, spec: Spec) -> Drift:
    """Compares. `spec` is Terraform's output `deployment`."""
    drift = Drift(vboxmanage=facts.version(manage))
    _image(drift, spec)
    _network(manage, drift, spec)
    _machines(manage, drift, spec)
    drift.foreign.sort()
    return drift


def _image(drift: Drift, spec: Spec) -> None:
    reader = spec.root.object("image")
    if not image.base(spec.state_dir, spec.image).exists():
        drift.replace.append(reader.text("terraform"))
        drift.found.append("the disk that machines are cloned from is gone")


def _network(manage: Manage, drift: Drift, spec: Spec) -> None:
    wanted, all_, extra = spec.network, facts.networks(manage), facts.extra_data(manage, "global")
    found = all_.get(wanted.name)
    ours = found is not None and owns_network(spec.owner, found, extra)
    if found is None:
        drift.replace.append(spec.root.object("network").text("terraform"))
        drift.found.append(f"NAT network {wanted.name!r} is gone")
    elif not ours:
        drift.foreign.append(f"NAT network {wanted.name!r}")
    there = {str(rule) for rule in found.forwards} if found and ours else set()
    names = {rule.name: str(rule) for rule in found.forwards} if found and ours else {}
    for machine, reader in spec.root.objects("machines").items():
        marked = extra.get(forwards_key(wanted.name, machine), "").split()
        rules = [forward(item, f"machines.{machine}.forwards.") for item in reader.items("forwards")]
        missing = [rule for rule in rules if str(rule) not in there]
        if missing and found is not None and ours:
            drift.replace.append(reader.text("terraform_forwards"))
            drift.found.append(f"forwards of {machine!r} are gone: {', '.join(rule.name for rule in missing)}")
        drift.foreign += [
            f"forward {rule.name!r} of NAT network {wanted.name!r}"
            for rule in rules
            if rule.name in names and names[rule.name] not in marked
        ]
        drift.ports |= ports.taken([rule.host_port for rule in missing], all_.values(), wanted.name if ours else None)


def _machines(manage: Manage, drift: Drift, spec: Spec) -> None:
    found = facts.machines(manage)
    for machine, reader in spec.root.objects("machines").items():
        vm_name = reader.name("vm_name")
        uuid = found.get(vm_name)
        if uuid is None:
            drift.replace.append(reader.text("terraform"))
            drift.found.append(f"machine {vm_name!r} is gone")
            continue
        extra, info = facts.extra_data(manage, uuid), facts.info(manage, uuid)
        if not owns_machine(spec.owner, vm_name, uuid, extra.get(OWNER)):
            drift.foreign.append(f"machine {vm_name!r}")
        elif MADE not in extra or spec.network.name not in network.attached(info):
            drift.replace.append(reader.text("terraform"))
            drift.found.append(f"machine {vm_name!r} is half made, or was taken off the network")
        elif info.get("VMState") not in facts.RUNNING:
            drift.start.append(machine)
            drift.found.append(f"machine {vm_name!r} is {info.get('VMState')}")
