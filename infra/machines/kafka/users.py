"""Makes users and rights of a machine's Kafka what they should be.

`python -m infra.machines.kafka.users ADDRESS --keystore FILE --ca FILE` runs on a machine of the cluster and reads from
standard input, as JSON, each user's password: `{"indexer": "…"}`. It prints what it changed, as JSON. Passwords are in
no argument, no environment and no output.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # the package does not list its exports
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from infra.machines.inventory import KAFKA_INSIDE
from infra.machines.kafka.configuration import KAFKA_BROKERS
from infra.machines.kafka.rights import lists
from streaming import decoding
from streaming.errors import ConfigError, Unavailable, VigilError
from streaming.kafka import clients
from streaming.kafka.access import KafkaAccess, Mechanism, Protocol

T = TypeVar("T")

ANSWER_WITHIN_S = 10.0
KNOWN_WITHIN_S = 3.0
"""A refused password is answered at once; librdkafka tries on until this."""
ITERATIONS = 8192
"""Of SCRAM-SHA-512: twice Kafka's least and default."""


@dataclass(frozen=True)
class Changes:
    """What was done, by names of users; rights in words. All empty: everything was as it should be."""

    passwords: tuple[str, ...]
    removed: tuple[str, ...]
    granted: tuple[str, ...]
    revoked: tuple[str, ...]


def ensure_users(admin: AdminClient, as_user: KafkaAccess, passwords: Mapping[str, str]) -> Changes:
    """Gives these users their passwords, takes all others away, and grants exactly the rights of `rights.lists`.

    Idempotent: a password that Kafka takes already is left as it is. Clients that are connected stay so after a change
    of their password, which is what lets it be rotated while they work.

    Args:
        admin: a super user's.
        as_user: how users reach this Kafka, without name and password.
        passwords: by user; all that there should be.

    Raises:
        Unavailable: Kafka does not answer, or refuses.
    """
    try:
        known = _users(admin)
        changed = [name for name, word in passwords.items() if name not in known or not _takes(as_user, name, word)]
        removed = sorted(known - set(passwords))
        _alter(admin, {name: passwords[name] for name in changed}, removed)
        granted, revoked = _grant(admin, lists())
    except KafkaException as error:
        raise Unavailable(f"Kafka refuses or does not answer: {error.args[0].str()}") from error
    return Changes(tuple(changed), tuple(removed), granted, revoked)


def _users(admin: AdminClient) -> set[str]:
    asked = admin.describe_user_scram_credentials(request_timeout=ANSWER_WITHIN_S)
    assert isinstance(asked, Future)  # of named users it would be a future for each
    return set(asked.result())


def _takes(as_user: KafkaAccess, name: str, password: str) -> bool:
    """Whether Kafka lets this user in."""
    try:
        clients.admin(replace(as_user, username=name, password=password)).list_topics(timeout=KNOWN_WITHIN_S)
    except KafkaException:
        return False
    return True


def _alter(admin: AdminClient, passwords: Mapping[str, str], removed: Collection[str]) -> None:
    if not passwords and not removed:
        return
    kind = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS)
    asked = [
        *(UserScramCredentialUpsertion(name, kind, word.encode()) for name, word in passwords.items()),
        *(UserScramCredentialDeletion(name, ScramMechanism.SCRAM_SHA_512) for name in removed),
    ]
    _await(admin.alter_user_scram_credentials(asked, request_timeout=ANSWER_WITHIN_S))


def _grant(admin: AdminClient, wanted: frozenset[AclBinding]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    everything = AclBindingFilter(
        ResourceType.ANY,
        None,  # type: ignore[arg-type]  # the library takes None for any name, principal and host
        ResourcePatternType.ANY,
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    found = frozenset(admin.describe_acls(everything, request_timeout=ANSWER_WITHIN_S).result())
    missing, too_many = wanted - found, found - wanted
    if missing:
        _await(admin.create_acls(list(missing), request_timeout=ANSWER_WITHIN_S))
    if too_many:
        _await(admin.delete_acls([_exactly(one) for one in too_many], request_timeout=ANSWER_WITHIN_S))
    return _in_words(missing), _in_words(too_many)


def _exactly(one: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        one.restype, one.name, one.resource_pattern_type, one.principal, one.host, one.operation, one.permission_type
    )


def _in_words(bindings: Collection[AclBinding]) -> tuple[str, ...]:
    return tuple(
        sorted(
            f"{one.principal.removeprefix('User:')}: {_word(one.operation)} {_word(one.restype)} {one.name}"
            for one in bindings
        )
    )


def _word(value: AclOperation | ResourceType | str | int) -> str:
    return value.name.lower() if isinstance(value, AclOperation | ResourceType) else str(value)


def _await(asked: Mapping[T, Future[Any]]) -> None:  # what they give is nothing
    for future in asked.values():
        future.result()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m infra.machines.kafka.users", description=__doc__)
    parser.add_argument("address", help="of this machine, as its brokers listen")
    parser.add_argument("--keystore", required=True, help="PEM file of the broker's key and chain")
    parser.add_argument("--ca", required=True, help="PEM file of the authority")
    arguments = parser.parse_args()
    brokers = KafkaAccess(
        f"{arguments.address}:{KAFKA_BROKERS}",
        Protocol.SSL,
        ca_path=arguments.ca,
        cert_path=arguments.keystore,
        key_path=arguments.keystore,
    )
    users = KafkaAccess(
        f"{arguments.address}:{KAFKA_INSIDE}", Protocol.SASL_SSL, Mechanism.SCRAM_SHA_512, ca_path=arguments.ca
    )
    try:
        changes = ensure_users(clients.admin(brokers), users, _given())
    except VigilError as error:
        print(f"vigil: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(json.dumps(asdict(changes)))


def _given() -> dict[str, str]:
    try:
        return decoding.decode(sys.stdin.buffer.read(), dict[str, str])
    except ValueError:
        # The error would show what was given.
        raise ConfigError("is no JSON object of users and passwords", field="standard input") from None


if __name__ == "__main__":
    main()
