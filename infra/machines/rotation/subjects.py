"""What can be rotated, and what a rotation changes and restarts, in which rounds. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from infra.machines.administration import AUTHORITY_FILE, affected
from infra.machines.contents import ASKS_ELASTICSEARCH, HAS_KEYSTORE, certificates_of
from infra.machines.elastic.rights import CLIENTS
from infra.machines.inventory import Inventory
from infra.machines.kafka.rights import USERS, user_of
from infra.machines.placement import Instance
from infra.machines.programs import Software, has
from infra.machines.target import CONTROL
from infra.machines.units import credential_file
from streaming.errors import ConfigError


class Subject(StrEnum):
    """What a person names; a user of Kafka and a certificate are named after `password:` and `certificate:`."""

    ALL = "all"
    """Everything."""
    PASSWORDS = "passwords"
    """Of all users of Kafka."""
    CONTROL = "control"
    """Password and certificate by which this host reaches Kafka and Elasticsearch."""
    CERTIFICATES = "certificates"
    """All but the authority's."""
    CLUSTER = "cluster"
    """Certificates of brokers and controllers: Kafka's own credentials, and what clients see."""
    PROXY = "proxy"
    """Certificates by which Elasticsearch is reached: its proxies', or a packaged one's own and Kibana's."""
    RECEIVERS = "receivers"
    """Secrets that rule files name by variables, which come from the environment."""
    ELASTICSEARCH = "elasticsearch"
    """Of a packaged one: password of its superuser, API keys of all clients, Kibana's token."""
    KIBANA_KEYS = "kibana-keys"
    """By which a packaged Kibana encrypts what it stores. Not part of `all`: what was encrypted is lost."""
    AUTHORITY = "authority"
    """The authority, and with it all certificates."""
    SSH_KEY = "ssh-key"
    """By which this host reaches the machines."""
    SLACK = "slack"
    """Slack's tokens, which come from the settings."""


ANY = "*"
"""In place of a secret's name: whatever receivers the rules have."""

PASSWORD, CERTIFICATE = "password:", "certificate:"

SLACK_TOKENS = ("slack_bot_token", "slack_app_token")


@dataclass(frozen=True)
class Plan:
    """What is to be rotated: `users` of Kafka, `certificates` by the names of their files, the rest or not."""

    users: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    authority: bool = False
    ssh_key: bool = False
    slack: bool = False
    elasticsearch: bool = False
    kibana_keys: bool = False
    receivers: bool = False


def all_certificates(
    inventory: Inventory, software: Software = Software.UPLOAD
) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Of the machines (`certificates_of`) and of this host: by file, the common name and what it is reached by."""
    return {**certificates_of(inventory, software), CONTROL: (CONTROL, ())}


def plan(inventory: Inventory, what: Sequence[str], software: Software = Software.UPLOAD) -> Plan:
    """What a person asks for, in the words of `Subject`.

    Raises:
        ConfigError: there is none of a name; the text has those that there are.
    """
    files, packaged = tuple(all_certificates(inventory, software)), software is Software.PACKAGES
    users, certificates, asked = set[str](), set[str](), set[Subject]()
    for word in what:
        if word.startswith(PASSWORD):
            users.add(_one(word, PASSWORD, tuple(USERS), "user of Kafka"))
        elif word.startswith(CERTIFICATE):
            certificates.add(_one(word, CERTIFICATE, files, "certificate"))
        else:
            asked.add(Subject(_one(word, "", tuple(Subject), "such thing to rotate")))
    every = Subject.ALL in asked
    authority = every or Subject.AUTHORITY in asked
    if every or Subject.PASSWORDS in asked:
        users |= set(USERS)
    if authority or Subject.CERTIFICATES in asked:
        certificates |= set(files)
    if Subject.CONTROL in asked:
        users.add(CONTROL)
        certificates.add(CONTROL)
    for subject, services in ((Subject.CLUSTER, ("kafka",)), (Subject.PROXY, HAS_KEYSTORE - {"kafka"})):
        if subject in asked:
            certificates |= {file for file in files if file.partition("@")[0] in services}
    if not packaged and (of_packages := asked & {Subject.ELASTICSEARCH, Subject.KIBANA_KEYS}):
        raise ConfigError(
            f"these machines have no {' and '.join(sorted(of_packages))} to rotate",
            remedy="Their Elasticsearch is embedded, which has no users and no keys",
        )
    return Plan(
        tuple(user for user in USERS if user in users),
        tuple(file for file in files if file in certificates),
        authority,
        every or Subject.SSH_KEY in asked,
        every or Subject.SLACK in asked,
        packaged and (every or Subject.ELASTICSEARCH in asked),
        Subject.KIBANA_KEYS in asked,
        every or Subject.RECEIVERS in asked,
    )


def _one(word: str, prefix: str, known: tuple[str, ...], kind: str) -> str:
    name = word.removeprefix(prefix)
    if name not in known:
        raise ConfigError(
            f"there is no {kind} {name!r}", remedy=f"There are: {', '.join(prefix + one for one in known)}"
        )
    return name


class Step(StrEnum):
    """What a round does before it brings and restarts; its text is for a person."""

    PASSWORD = "another password at Kafka"  # noqa: S105 - no password
    SLACK = "Slack's tokens of the settings"
    RECEIVERS = "secrets of receivers that the environment has"
    ELASTICSEARCH = "another password and other keys of Elasticsearch"
    KIBANA_KEYS = "other keys by which Kibana encrypts"
    CERTIFICATES = "other certificates"
    TRUST = "the next authority is trusted beside this one"
    SIGN = "certificates of the next authority"
    FORGET = "the old authority is trusted no more"
    LEFT = "what an earlier rotation or deployment has left to restart"


@dataclass(frozen=True)
class Round:
    """One round of a rotation: `changes` on each machine (as `administration.Differences` names them), and what has to
    be restarted for them, in order, one after the other. `user` is whose password it is about."""

    step: Step
    changes: Mapping[str, tuple[str, ...]]
    restarts: tuple[Instance, ...]
    user: str = ""

    def __str__(self) -> str:
        return f"{self.user}: {self.step}" if self.user else str(self.step)


def rounds(wanted: Plan, inventory: Inventory, software: Software = Software.UPLOAD) -> tuple[Round, ...]:
    """The rounds in which a plan is done.

    Each user has a round of its own, so that nobody waits longer for its new password than for its own restart, and
    all of them come before Kafka is restarted for a certificate, when everybody has to log in again. Another authority
    takes three: until all trust both, until all is issued anew, until nobody trusts the old one.
    """
    placed = {
        name: tuple(one for one in inventory.instances(name) if has(one.service, software))
        for name in inventory.machines
    }

    def made(step: Step, changes: Mapping[str, tuple[str, ...]], user: str = "") -> Round:
        due = {one for name, entries in changes.items() for one in affected(entries, placed[name])}
        return Round(step, changes, tuple(one for one in inventory.placement if one in due), user)

    def given(service: str, name: str) -> dict[str, tuple[str, ...]]:
        return _secret(placed, service, name)

    found = [made(Step.PASSWORD, _passwords(placed, user), user) for user in wanted.users]
    if wanted.slack:
        found.append(made(Step.SLACK, _joined(*(given("notifier", token) for token in SLACK_TOKENS))))
    if wanted.receivers:
        found.append(made(Step.RECEIVERS, given("notifier", ANY)))
    if wanted.elasticsearch:
        keys = [given(client, "elasticsearch_api_key") for client in CLIENTS if client != CONTROL]
        others = [given("kibana", "settings"), given("elasticsearch", "bootstrap_password")]
        found.append(made(Step.ELASTICSEARCH, _joined(*keys, *others)))
    if wanted.kibana_keys:
        found.append(made(Step.KIBANA_KEYS, given("kibana", "settings")))
    if wanted.authority:
        trust = dict.fromkeys(inventory.machines, (f"files/{AUTHORITY_FILE}",))
        everything = _issued(inventory, all_certificates(inventory, software), software)
        found += [made(Step.TRUST, trust), made(Step.SIGN, everything), made(Step.FORGET, trust)]
    elif wanted.certificates:
        found.append(made(Step.CERTIFICATES, _issued(inventory, wanted.certificates, software)))
    return tuple(found)


Placed = Mapping[str, tuple[Instance, ...]]


def _passwords(placed: Placed, user: str) -> dict[str, tuple[str, ...]]:
    services = {one.service for instances in placed.values() for one in instances}
    theirs = [name for name in sorted(services) if name.rstrip("0123456789") in USERS and user_of(name) == user]
    return _joined(dict.fromkeys(placed, ()), *(_secret(placed, name, "kafka_password") for name in theirs))


def _secret(placed: Placed, service: str, name: str) -> dict[str, tuple[str, ...]]:
    """Of a service, wherever it is."""
    entry = f"credentials/{credential_file(service, name)}"
    return {
        machine: (entry,) if any(one.service == service for one in instances) else ()
        for machine, instances in placed.items()
    }


def _joined(*parts: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {machine: tuple(entry for part in parts for entry in part[machine]) for machine in parts[0]}


def _issued(inventory: Inventory, files: Iterable[str], software: Software) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {name: [] for name in inventory.machines}
    for file in files:
        service, _, machine = file.partition("@")
        if service in HAS_KEYSTORE:
            found[machine].append(f"credentials/{credential_file(service, 'keystore')}")
        elif service in ASKS_ELASTICSEARCH and software is Software.UPLOAD:
            found[machine] += [
                f"credentials/{credential_file(service, 'elasticsearch_key')}",
                f"files/tls/{service}.pem",
            ]
    return {machine: tuple(entries) for machine, entries in found.items()}
