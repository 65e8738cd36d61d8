"""Access to one Vigil platform from a task or trigger."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from airflow.sdk import BaseHook

from infra.service_manager import ServiceManager
from infra.services import Service
from infra.targets import DEPLOYED_LAST, Target, open_target
from streaming.errors import ConfigError
from streaming.settings import Settings, load_settings


class VigilHook(BaseHook):
    """Settings, services and service manager of a platform. Each is read or made at its first use.

    `close` disconnects from machines; a task need not, a trigger must, whose process goes on.

    Args:
        target: as `infra.targets.reference` takes it: `local`, `virtualbox:vigil`, `inventory:lab`, or
            `deployed-last`.
    """

    def __init__(self, target: str = DEPLOYED_LAST) -> None:
        super().__init__()
        self.target = target

    @cached_property
    def installation(self) -> Settings:
        """The settings of this installation, which are those of the platform `local`.

        Raises:
            ConfigError: a setting cannot be used.
        """
        return load_settings()

    @cached_property
    def platform(self) -> Target:
        """The platform itself.

        Raises:
            ConfigError: no such target, or no such deployment was made.
        """
        return open_target(self.target, self.installation)

    @property
    def settings(self) -> Settings:
        """Settings by which its Kafka and Elasticsearch are reached; `home` is where its reports and audits are.

        Raises:
            ConfigError: a setting cannot be used, or as `platform`.
        """
        return self.platform.settings

    @property
    def services(self) -> Mapping[str, Service]:
        """All services that it has by name, in start order."""
        return self.platform.services

    @property
    def manager(self) -> ServiceManager:
        """Starts and stops its services.

        Raises:
            ConfigError: as `platform`.
        """
        return self.platform.manager

    def service(self, name: str) -> Service:
        """One of its services.

        Raises:
            ConfigError: none of that name; the text names those that it has.
        """
        try:
            return self.services[name]
        except KeyError:
            raise ConfigError(f"no service {name!r}", remedy=f"There are: {', '.join(self.services)}") from None

    def get_conn(self) -> ServiceManager:
        """The service manager, under the name by which Airflow's hooks give their client."""
        return self.manager

    def close(self) -> None:
        """Disconnects, if it was connected."""
        if "platform" in self.__dict__:
            self.platform.close()
