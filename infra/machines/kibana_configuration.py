"""The configuration of Kibana on a machine. Pure.

It listens at the machine's address with TLS. What is secret is a second file of configuration, a credential of its
unit, so that neither /etc nor the environment has it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from infra.machines.elastic.configuration import as_yaml
from infra.machines.inventory import ELASTICSEARCH_TLS, KIBANA_TLS, Inventory
from infra.machines.placement import Role, unit_name
from infra.machines.programs import AUTHORITY, CONFIGURATION, credential_path

UNIT = unit_name("kibana")

ENCRYPTION_KEYS = (
    "xpack.security.encryptionKey",
    "xpack.encryptedSavedObjects.encryptionKey",
    "xpack.reporting.encryptionKey",
)
"""Each at least 32 characters; without them Kibana makes new ones at each start, and what was encrypted is lost."""

HEAP_MB = 1024
"""Of `MEMORY_MAX` (1500 MB) for it."""


def settings_of(inventory: Inventory, machine: str) -> dict[str, object]:
    """kibana.yml of a machine, by full names of settings."""
    keystore = credential_path(UNIT, "keystore")
    nodes = inventory.having(Role.ELASTICSEARCH).values()
    return {
        "server.name": machine,
        "server.host": str(inventory.machines[machine].address),
        "server.port": KIBANA_TLS,
        "server.publicBaseUrl": inventory.kibana_outside,
        "server.ssl.enabled": True,
        # Key and chain are in one file.
        "server.ssl.key": keystore,
        "server.ssl.certificate": keystore,
        "elasticsearch.hosts": [f"https://{one.address}:{ELASTICSEARCH_TLS}" for one in nodes],
        "elasticsearch.ssl.certificateAuthorities": [AUTHORITY],
        "path.data": "/var/lib/vigil/kibana/data",
        "telemetry.optIn": False,
        "telemetry.allowChangingOptInStatus": False,
        "newsfeed.enabled": False,
        "map.includeElasticMapsService": False,
    }


def files(inventory: Inventory, machine: str) -> dict[str, str]:
    """What lies in /etc/vigil/kibana, by name."""
    return {"kibana.yml": as_yaml(settings_of(inventory, machine))}


def environment() -> dict[str, str]:
    """The variables of its unit."""
    return {"KBN_PATH_CONF": f"{CONFIGURATION}/kibana", "NODE_OPTIONS": f"--max-old-space-size={HEAP_MB}"}


def secret_settings(token: str, keys: Mapping[str, str]) -> str:
    """The second file of configuration, as JSON, which is YAML too: the service account's token and encryption keys."""
    found = {"elasticsearch.serviceAccountToken": token, **{name: keys[name] for name in ENCRYPTION_KEYS}}
    return msgspec.json.encode(found).decode()
