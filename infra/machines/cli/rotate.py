"""`vigil machines rotate` and `renew`: other secrets and certificates, while everything runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer

from infra.machines.cli.chosen import Deployment, chosen

if TYPE_CHECKING:
    from infra.machines.rotation.rotate import Rotated
    from infra.machines.rotation.subjects import Plan, Round
    from infra.machines.target import Machines

# Heavy imports are inside the functions: `vigil --help` and shell completion must answer at once.


def rotate(
    what: Annotated[list[str], typer.Argument(metavar="WHAT...", help="See above; several at once are fine.")],
    deployment: Deployment = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object at the end; progress on stderr.")] = False,
) -> None:
    """Give a deployment to machines other secrets, while it runs.

    WHAT is one of:

    \b
    passwords          of all users of Kafka
    password:USER      of one, such as password:indexer
    control            by which this host reaches Kafka and Elasticsearch
    certificates       of all services
    certificate:NAME   of one, such as certificate:kafka@producer
    cluster            by which Kafka's nodes know each other
    proxy              by which Elasticsearch and Kibana are reached
    elasticsearch      password, API keys and Kibana's token (software by packages)
    kibana-keys        by which Kibana encrypts (packages; not part of `all`)
    authority          and with it all certificates
    ssh-key            by which this host reaches the machines
    slack              the tokens that the settings have now
    receivers          secrets that rule files name, which the environment has now
    all                everything

    Services that read what changes are restarted one after the other, each healthy before the next. Running it again
    repairs what was broken off half-way.

    Example: vigil machines rotate passwords ssh-key --yes

    Example: vigil machines rotate password:indexer --deployment vigil
    """
    from infra.machines.rotation.rotate import rotate as run
    from infra.machines.rotation.subjects import plan, rounds

    def ask_and_run(machines: Machines, say: Callable[[str], None]) -> Rotated:
        wanted = plan(machines.inventory, what, machines.software)
        if not yes:
            for line in described(wanted, rounds(wanted, machines.inventory, machines.software)):
                say(line)
            typer.confirm("Rotate?", abort=True, err=True)
        return run(machines, wanted, say)

    _do(deployment, as_json, ask_and_run)


def renew(
    deployment: Deployment = None,
    within: Annotated[
        float | None, typer.Option(help="Also what expires within so many days.", metavar="DAYS", min=0)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object at the end; progress on stderr.")] = False,
) -> None:
    """Renew the certificates of which a third of their life or less is left (30 days of 90), or that have expired.

    It is what the DAG renew_certificates does every day. What an earlier rotation left half done is finished.

    Example: vigil machines renew --within 45
    """
    from infra.machines.rotation.rotate import renew as run

    def renewed(machines: Machines, say: Callable[[str], None]) -> Rotated:
        return run(machines, say, within)

    _do(deployment, as_json, renewed)


def described(wanted: Plan, steps: Sequence[Round]) -> list[str]:
    """What a plan will do, for a person who is asked."""
    lines = ["the SSH key: added to each machine, tried, the old one removed; nothing is restarted"] * wanted.ssh_key
    for step in steps:
        told = f"restarts {', '.join(map(str, step.restarts))}" if step.restarts else "nothing is restarted"
        lines.append(f"{step}; {told}")
    return lines


def _do(deployment: str | None, as_json: bool, run: Callable[[Machines, Callable[[str], None]], Rotated]) -> None:
    import msgspec

    from infra.machines import known
    from streaming.settings import load_settings

    settings = load_settings()
    name = chosen(settings, deployment)

    def say(line: str) -> None:
        typer.echo(line, err=as_json)

    with closing(known.machines(settings, name)) as machines:
        done = run(machines, say)
    if as_json:
        told = {"deployment": name, "rotated": done.plan, "restarted": done.restarted}
        typer.echo(msgspec.json.encode(told))
    elif done.is_empty:
        say(f"{name}: no certificate is due")
    else:
        say(f"{name}: done; {len(done.restarted)} restarts")
