"""The machines of one deployment, as this host sees and reaches them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from pydantic import SecretStr

from infra.machines import growth
from infra.machines.administration import Administration
from infra.machines.contents import Deployed, certificates_of
from infra.machines.elastic.rights import CLIENTS
from infra.machines.elastic.security import key_name
from infra.machines.inventory import Inventory
from infra.machines.kafka.rights import USERS
from infra.machines.keys import key_file
from infra.machines.packaged import packaged
from infra.machines.pending import Pending
from infra.machines.programs import Software
from infra.machines.receivers import found, variables
from infra.machines.secret_store import SecretStore
from infra.machines.ssh import Connections, servers
from infra.machines.systemd import SystemdManager
from streaming.errors import ConfigError
from streaming.kafka.access import Protocol
from streaming.settings import Settings

CONTROL = "control"
"""As whom this host reaches Kafka and Elasticsearch of the machines (`infra.machines.kafka.rights`)."""


class Machines:
    """All of them together. Nothing is connected before its first use; `close` disconnects.

    `folder` keeps the deployment's state: `ssh/` (our key, the pinned host keys), `secrets/`. `software` is how it came
    to them.
    """

    def __init__(
        self, settings: Settings, inventory: Inventory, folder: Path, software: Software = Software.UPLOAD
    ) -> None:
        self.settings, self.inventory, self.folder, self.software = settings, inventory, folder, software

    @property
    def key(self) -> Path:
        """Our key of SSH."""
        return key_file(self.folder)

    @property
    def known_hosts(self) -> Path:
        """The machines' pinned host keys."""
        return self.folder / "ssh" / "known_hosts"

    @property
    def pending(self) -> Pending:
        """Restarts that have yet to be."""
        return Pending(self.folder)

    @cached_property
    def connections(self) -> Connections:
        """SSH to each."""
        return Connections(servers(self.inventory), self.key, self.known_hosts)

    @cached_property
    def store(self) -> SecretStore:
        """The deployment's secrets.

        Raises:
            ConfigError: they cannot be read.
        """
        return SecretStore(self.folder / "secrets", self.inventory.deployment)

    @cached_property
    def manager(self) -> SystemdManager:
        """Starts and stops their services."""
        return SystemdManager(self.inventory, self.connections, self.software)

    @cached_property
    def administration(self) -> Administration:
        """Brings configuration and software to them."""
        return Administration(self.connections)

    def close(self) -> None:
        """Disconnects."""
        if "connections" in self.__dict__:
            self.connections.close()

    def client_settings(self) -> Settings:
        """Settings by which programs on this host reach the machines' Kafka and Elasticsearch.

        Raises:
            ConfigError: the deployment's secrets cannot be read.
        """
        issued = self.store.certificate(CONTROL, CONTROL)
        assert issued.chain
        own = str(self.store.keystore(CONTROL))
        return self.settings.model_copy(
            update={
                "kafka_bootstrap": self.inventory.kafka_outside,
                "kafka_security_protocol": Protocol.SASL_SSL,
                "kafka_username": CONTROL,
                "kafka_password": SecretStr(self.store.passwords([CONTROL])[CONTROL]),
                "kafka_ca_path": str(self.store.authority),
                "elasticsearch_url": self.inventory.elasticsearch_outside,
                "accumulator_engine": self.accumulator_engine,
                "elasticsearch_ca_path": str(self.store.authority),
                **self._shown_to_elasticsearch(own),
            }
        )

    @property
    def accumulator_engine(self) -> str:
        """As `Settings.accumulator_engine`: which one the machines run."""
        return "fluentd" if self.software is Software.PACKAGES else "builtin"

    def _shown_to_elasticsearch(self, certificate: str) -> dict[str, object]:
        """A packaged one is shown a key, once it has made one; an embedded one's proxy asks for a certificate."""
        if self.software is Software.PACKAGES:
            return {"elasticsearch_api_key": SecretStr(self.store.elastic.secret(key_name(CONTROL)) or "")}
        return {"elasticsearch_cert_path": certificate, "elasticsearch_key_path": certificate}

    def receiver_secrets(self, *, take: bool) -> dict[str, str]:
        """Secrets that receivers of the rules name; with `take`, those that this process has are kept before, in place
        of earlier ones.

        Raises:
            ConfigError: rules or secrets cannot be read.
        """
        names = variables(_texts(self.settings.rules_path))
        if take and names is not None:
            self.store.keep_receivers(found(names, self.settings))
        return self.store.receivers(names)

    def deployed(self) -> Deployed:
        """What the machines are to have, from this host's settings and files and the deployment's secrets.

        Raises:
            ConfigError: rules or accumulator configuration cannot be read, or the machines cannot become these ones
                (`growth`).
        """
        growth.check(self.inventory, self.software, self.folder, self.store.cluster_id)
        certificates = {
            file: self.store.certificate(file, name, reached_by)
            for file, (name, reached_by) in certificates_of(self.inventory, self.software).items()
        }
        return Deployed(
            self.settings,
            self.software,
            self.store.cluster_id,
            self.store.authority.read_text(encoding="ascii"),
            _texts(self.settings.rules_path),
            _texts(self.settings.fluentd_path),
            self.store.passwords(list(USERS)),
            certificates,
            self.store.forgotten_clusters,
            packaged(self.store.elastic, tuple(CLIENTS)) if self.software is Software.PACKAGES else None,
            self.receiver_secrets(take=True),
        )


def _texts(place: Path) -> dict[str, str]:
    """The files of a folder by their paths in it, or one file by its name; hidden ones are left out."""
    if place.is_file():
        return {place.name: _text(place)}
    if not place.is_dir():
        raise ConfigError("is not there", file=place, remedy="See VIGIL_RULES_PATH and VIGIL_FLUENTD_PATH")
    found = {file.relative_to(place): file for file in sorted(place.rglob("*")) if file.is_file()}
    return {str(name): _text(file) for name, file in found.items() if not _is_hidden(name)}


def _is_hidden(name: Path) -> bool:
    return any(part.startswith(".") for part in name.parts)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", file=file) from error
