"""Rotates secrets of a deployment while it runs, and renews its certificates in time.

Whatever the step at which a rotation fails: what runs goes on with what it has, this host keeps every secret that
anybody may know by then, and running it again ends at new secrets everywhere. Deploying again does too.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from infra.machines.elastic.rights import CLIENTS
from infra.machines.elastic.steps import security_of
from infra.machines.kafka.rights import USERS
from infra.machines.kibana_configuration import ENCRYPTION_KEYS
from infra.machines.placement import Instance, Role
from infra.machines.rotation.alone import alone
from infra.machines.rotation.delivery import deliver, restart_waiting, tokens
from infra.machines.rotation.health import await_everything
from infra.machines.rotation.ssh_key import replace_key
from infra.machines.rotation.standing import cut_off, renewal, standings
from infra.machines.rotation.subjects import Plan, Round, Step, all_certificates, rounds
from infra.machines.secret_file import PASSWORD_BYTES
from infra.machines.target import Machines
from streaming.errors import Unavailable

Report = Callable[[str], None]

OLD_TOKEN_NAME = "kibana/old-token-name"  # noqa: S105 - a name
"""Kept until that token of Kibana is removed."""

LEFT = Round(Step.LEFT, {}, ())


@dataclass(frozen=True)
class Rotated:
    """What was done: the plan, and every restart in its order (`SERVICE@MACHINE`)."""

    plan: Plan
    restarted: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Nothing had to be."""
        return self.plan == Plan() and not self.restarted


def rotate(machines: Machines, plan: Plan, report: Report) -> Rotated:
    """Does a plan. Services are restarted one after the other, each healthy before the next.

    Raises:
        Unavailable: a machine cannot be reached or refuses, Kafka or Elasticsearch does not answer, a service is not
            healthy in its time, or another process rotates secrets of this deployment.
        ConfigError: the deployment's secrets cannot be read or written.
    """
    with alone(machines.folder):
        return _rotate(machines, plan, report)


def renew(machines: Machines, report: Report, within_days: float | None = None) -> Rotated:
    """Renews what is due (`standing.renewal`), and goes on with what an earlier rotation left half done. Where there is
    neither, no machine is asked anything.

    Args:
        machines: of the deployment.
        report: is told of each step.
        within_days: also what expires within so many.

    Raises:
        Unavailable, ConfigError: as `rotate`.
    """
    with alone(machines.folder):
        store, now = machines.store, machines.store.now()
        found = standings(machines.inventory, store, machines.pending, now, machines.software)
        plan = renewal(found, store.issuer.change, now, within_days)
        begun = tuple(store.next_passwords([]))
        if begun and not cut_off(found):  # Kafka may have them; where it is cut off, it is told another time
            plan = replace(plan, users=begun)
        left = [one for one in machines.inventory.machines if machines.pending.of(one)]
        if plan == Plan() and not left:
            return Rotated(plan, ())
        return _rotate(machines, plan, report)


def _rotate(machines: Machines, plan: Plan, report: Report) -> Rotated:
    if plan == Plan(slack=True) and not tokens(machines.settings):
        raise Unavailable("the settings hold no Slack token; give them one (docs/slack.md), then rotate it")
    if plan == Plan(receivers=True) and not machines.receiver_secrets(take=True):
        raise Unavailable("no receiver of the rules has a secret in this environment (docs/receivers.md)")
    # Before anything is changed: one that is away would be left with what nobody else takes any more.
    for name in machines.inventory.machines:
        machines.connections.check(name, ["true"], repeatable=True)
    store = machines.store
    away = cut_off(standings(machines.inventory, store, machines.pending, store.now(), machines.software))
    if away and plan.users:
        raise Unavailable(
            "Kafka's certificates have expired, so it takes no new passwords: `vigil machines renew` first"
        )
    if plan.ssh_key:
        replace_key(machines, report)
    restarted: list[Instance] = []
    for step in rounds(plan, machines.inventory, machines.software) or (LEFT,):
        report(str(step))
        if _is_void(machines, step):
            report("there is none")
            continue
        _note(machines, step)
        _prepare(machines, step, plan, report)
        deliver(machines, report, settings_too=step.step is Step.SLACK)
        restarted += restart_waiting(machines, report, cut_off=away)
        away = False
        _finish(machines, step, report)
    if restarted:
        await_everything(machines)
        report("all services are healthy")
    return Rotated(plan, tuple(map(str, restarted)))


def _is_void(machines: Machines, step: Round) -> bool:
    """Whether whoever deploys has nothing to give."""
    if step.step is Step.SLACK:
        return not tokens(machines.settings)
    return step.step is Step.RECEIVERS and not machines.receiver_secrets(take=True)


def _note(machines: Machines, step: Round) -> None:
    """Before a step: whoever is killed in it leaves word of what has to be brought and restarted."""
    for name in machines.inventory.machines:
        machines.pending.add(name, (one.service for one in step.restarts if one.machine == name))


def _prepare(machines: Machines, step: Round, plan: Plan, report: Report) -> None:
    """What a round does on this host and at Kafka, before machines are told."""
    issuer = machines.store.issuer
    match step.step:
        case Step.PASSWORD:
            _change_password(machines, step.user, report)
        case Step.ELASTICSEARCH:
            _change_keys(machines, report)
        case Step.KIBANA_KEYS:
            for name in ENCRYPTION_KEYS:
                machines.store.elastic.keep(f"kibana/{name}", secrets.token_urlsafe(PASSWORD_BYTES))
        case Step.CERTIFICATES:
            wanted = all_certificates(machines.inventory, machines.software)
            for file in plan.certificates:
                machines.store.issue_certificate(file, *wanted[file])
        case Step.TRUST:
            issuer.begin_change()
            if issuer.expired:  # what it has signed is trusted by nobody
                issuer.sign_by_next()
                _issue_what_the_old_one_signed(machines)
        case Step.SIGN:
            issuer.sign_by_next()
            _issue_what_the_old_one_signed(machines)
        case Step.FORGET:
            issuer.end_change()


def _change_keys(machines: Machines, report: Report) -> None:
    """What was there before works until `_finish`."""
    security, kept = security_of(machines, report), machines.store.elastic
    security.await_ready()
    security.renew_password()
    for client in CLIENTS:
        security.renew_key(client)
    if before := security.renew_kibana_token():
        kept.keep(OLD_TOKEN_NAME, before)


def _finish(machines: Machines, step: Round, report: Report) -> None:
    """What follows when all that a round restarts is healthy again."""
    if step.step is Step.ELASTICSEARCH:
        security, kept = security_of(machines, report), machines.store.elastic
        security.retire_old_keys()
        if before := kept.secret(OLD_TOKEN_NAME):
            security.remove_kibana_token(before)
            kept.drop(OLD_TOKEN_NAME)


def _issue_what_the_old_one_signed(machines: Machines) -> None:
    store = machines.store
    for file, about in all_certificates(machines.inventory, machines.software).items():
        kept = store.kept_certificate(file)
        if kept is None or not store.issuer.signed(kept.chain):
            store.issue_certificate(file, *about)


def _change_password(machines: Machines, user: str, report: Report) -> None:
    """At Kafka first, then in the store: this host's own user is refused for no longer than it takes to write a file.
    Whoever is connected stays so; whoever connects anew is refused until it has the new password."""
    store = machines.store
    broker = next(iter(machines.inventory.having(Role.BROKER)))
    following = store.next_passwords([user])  # with such as a run that was killed may have told Kafka already
    for step in rounds(Plan(users=tuple(following)), machines.inventory, machines.software):
        _note(machines, step)
    machines.administration.kafka_users(broker, store.passwords(list(USERS)) | following)
    store.take_next_passwords()
    report(f"Kafka takes another password of {', '.join(following)}")
