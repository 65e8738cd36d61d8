"""`vigil machines deploy`: the whole deployment by one command, without Airflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from infra.local.progress import Progress
    from infra.machines.inventory import Inventory
    from infra.machines.known import Origin
    from infra.machines.target import Machines
    from streaming.settings import Settings


def deploy(
    image: Annotated[str | None, typer.Option(help="cloud image: a path, or an https address")] = None,
    checksum: Annotated[str | None, typer.Option(help="its sum: sha256:HEX or sha512:HEX")] = None,
    spec: Annotated[Path | None, typer.Option(help="all that is wanted of VirtualBox, as YAML or JSON")] = None,
    inventory: Annotated[Path | None, typer.Option(help="machines that are there already, as YAML or JSON")] = None,
    deployment: Annotated[str, typer.Option("--deployment", "-d", help="its name")] = "vigil",
    software: Annotated[str, typer.Option(help="upload or packages")] = "upload",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="apply the plan without asking")] = False,
) -> None:
    """Make two machines in VirtualBox, or take those of an inventory, and bring the platform up on them.

    Again repairs, and changes nothing where nothing is to be done; what you leave away is as the last time.

    Examples:
      vigil machines deploy --image debian-12-genericcloud-amd64.vmdk --checksum sha512:ab12...
      vigil machines deploy --inventory machines.yaml -d lab
      vigil machines deploy
    """
    from rich.console import Console

    from infra.local.progress import Progress
    from infra.machines import known
    from infra.machines.known import Deployed, Origin
    from infra.machines.programs import Software
    from streaming.errors import ConfigError
    from streaming.settings import load_settings

    if inventory is not None and (image or checksum or spec):
        raise ConfigError("is of machines that are there; image, checksum and spec make new ones", field="--inventory")
    if software not in tuple(Software):
        raise ConfigError(f"no way {software!r}", field="--software", remedy="There is: upload, packages")
    settings, way, progress = load_settings(), Software(software), Progress(Console())
    origin = _origin(settings, deployment, inventory)
    if origin is Origin.INVENTORY:
        found = known.taken(settings, deployment, inventory)
    else:
        found = _made(settings, deployment, _form(image, checksum, spec), progress, yes)
    known.remember(settings, found, Deployed(origin, way))
    machines = known.machines(settings, deployment)
    try:
        bring(machines, origin, progress)
        _welcome(machines, progress)
    finally:
        machines.close()


def bring(machines: Machines, origin: Origin, progress: Progress) -> None:
    """From machines that are there to an alert that went through them all.

    Raises:
        VigilError: a step failed; the text says why. Deploy again, and it goes on there.
    """
    from infra.bringing_up import bring_up
    from infra.intent import Intent, Order, record_order
    from infra.machines import deploying
    from infra.machines.as_target import target_around
    from infra.machines.kibana import bring_objects, why_skipped
    from infra.machines.known import Origin
    from infra.targets import Kind, remember_last
    from streaming.canary import await_document, await_receipt, send_canary
    from streaming.events.model import Level

    target = target_around(machines, Kind(origin))
    record_order(target.home, Order(intent=Intent.UP, since_ms=now_ms(), by="vigil machines deploy"))
    remember_last(target.reference, machines.settings)
    with progress.phase("Machines are reached"):
        deploying.reach(machines, origin, progress.say)
    if origin is Origin.VIRTUALBOX:
        with progress.phase("First boot"):
            deploying.await_first_boot(machines, progress.say)
    with progress.phase("Software"):
        deploying.install(machines, progress.say)
    with progress.phase("Secrets, configuration, units"):
        deploying.configure(machines, progress.say)
    with progress.phase("Services, in their order"):
        bring_up(target, progress.say)
    if why := why_skipped(machines.inventory, machines.software):
        progress.say(f"Kibana's objects are left out: {why}")
    else:
        with progress.phase("Objects of Kibana"):
            bring_objects(machines, progress.say)
    with progress.phase("A log and an alert through all of it"), target.sending() as settings:
        await_document(settings, send_canary(settings, Level.INFO), 60)
        await_receipt(settings, send_canary(settings, Level.ERROR), 60)


def _origin(settings: Settings, name: str, inventory: Path | None) -> Origin:
    from infra.machines import known
    from infra.machines.known import Origin

    if inventory is not None:
        return Origin.INVENTORY
    if name in known.names(settings):
        return known.deployed(settings, name).origin
    return Origin.VIRTUALBOX


def _form(image: str | None, checksum: str | None, spec: Path | None) -> dict[str, object]:
    import yaml

    from streaming.errors import ConfigError

    form: dict[str, object] = {}
    if spec is not None:
        try:
            read = yaml.safe_load(spec.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"cannot be read: {error}", file=spec) from error
        if not isinstance(read, dict):
            raise ConfigError("is no mapping of names to values", file=spec, remedy="See docs/machines.md")
        form |= read
    given = form.get("image")
    of_image = dict(given) if isinstance(given, dict) else {}
    of_image |= {name: value for name, value in (("source", image), ("checksum", checksum)) if value}
    return form | ({"image": of_image} if of_image else {})


def _made(settings: Settings, name: str, form: dict[str, object], progress: Progress, yes: bool) -> Inventory:
    from infra.local.preflight import require
    from infra.machines import known
    from infra.virtualbox.approval import lost_with
    from infra.virtualbox.changes import lines
    from infra.virtualbox.deployment import Deployment
    from infra.virtualbox.precheck import judge, look
    from infra.virtualbox.wanted import over, parse

    deployment = Deployment(settings, name, progress.say)
    wanted = parse(over(deployment.wanted_before, form), "what is wanted")
    with progress.phase("Checks of this host"):
        require(judge(wanted, look(wanted, deployment.folder, deployment.machines), deployment.machines))
    with progress.phase("Plan"):
        proposal = deployment.propose(wanted)
    lost = lost_with(proposal, known.machines(settings, name)) if name in known.names(settings) else ()
    for line in (*lines(proposal.changes), *proposal.drift, *(f"lost: {line}" for line in lost)):
        progress.say(line)
    if not proposal.is_empty:
        if not yes:
            typer.confirm("Apply this plan?", abort=True)
        with progress.phase("Terraform applies it"):
            deployment.apply(proposal)
    return deployment.inventory()


def _welcome(machines: Machines, progress: Progress) -> None:
    from infra.machines.links import links

    for what, where in links(machines).items():
        progress.say(f"{what:22} {where}")


def now_ms() -> int:
    """Milliseconds since the epoch."""
    import time

    return time.time_ns() // 1_000_000
