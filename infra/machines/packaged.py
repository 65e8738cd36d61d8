"""What a machine is given for the services that come from packages, beside what it has either way. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.machines.elastic import configuration
from infra.machines.elastic.configuration import NODE_NAME
from infra.machines.elastic.kept import Kept
from infra.machines.elastic.security import PASSWORD, TOKEN, key_name
from infra.machines.inventory import Inventory
from infra.machines.kibana_configuration import ENCRYPTION_KEYS, environment, secret_settings
from infra.machines.kibana_configuration import files as kibana_files
from infra.machines.placement import Instance

KEYSTORES = frozenset({"elasticsearch", "kibana"})
"""Services that others connect to by TLS, beside Kafka."""


@dataclass(frozen=True)
class Packaged:
    """The secrets of a packaged Elasticsearch and Kibana; no text of this object shows any.

    `api_keys` are by client. Keys and Kibana's token are there when Elasticsearch has made them: until then the
    services that need them have none.
    """

    password: str = field(repr=False)
    encryption: Mapping[str, str] = field(repr=False)
    api_keys: Mapping[str, str] = field(repr=False)
    token: str | None = field(default=None, repr=False)


def packaged(kept: Kept, clients: tuple[str, ...]) -> Packaged:
    """From what is kept; what needs no Elasticsearch is made here.

    Raises:
        ConfigError: as `Kept`.
    """
    keys = {client: key for client in clients if (key := kept.secret(key_name(client)))}
    encryption = {name: kept.password(f"kibana/{name}") for name in ENCRYPTION_KEYS}
    return Packaged(kept.password(PASSWORD), encryption, keys, kept.secret(TOKEN))


def names_of(service: str) -> tuple[str, ...]:
    """What the certificate of a service is reached by, beside addresses and names of its machine."""
    return (NODE_NAME,) if service == "elasticsearch" else ()


def files(inventory: Inventory, instance: Instance) -> dict[str, str]:
    """Of a service, by paths below /etc/vigil."""
    match instance.service:
        case "elasticsearch":
            found = configuration.files(inventory, instance.machine)
        case "kibana":
            found = kibana_files(inventory, instance.machine)
        case _:
            return {}
    return {f"{instance.service}/{name}": text for name, text in found.items()}


def variables(instance: Instance) -> dict[str, str]:
    """Of a service's unit."""
    return environment() if instance.service == "kibana" else {}


def secrets(instance: Instance, given: Packaged) -> dict[str, str]:
    """Of a service, by the names of its unit's credentials."""
    service = instance.service
    if service == "elasticsearch":
        return {"bootstrap_password": given.password}
    if service == "kibana":
        return {"settings": secret_settings(given.token, given.encryption)} if given.token else {}
    return {"elasticsearch_api_key": given.api_keys[service]} if service in given.api_keys else {}
