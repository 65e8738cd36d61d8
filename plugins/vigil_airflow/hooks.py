"""Access to one Vigil installation from a task or trigger."""

from __future__ import annotations

from functools import cached_property

from airflow.sdk import BaseHook

from infra.service_manager import ServiceManager
from infra.services import Service, catalogue
from infra.targets import service_manager
from streaming.errors import ConfigError
from streaming.settings import Settings, load_settings


class VigilHook(BaseHook):
    """Settings, services and service manager of a target. Each is read or made at its first use.

    Args:
        target: one of `infra.targets.TARGETS`.
    """

    def __init__(self, target: str = "local") -> None:
        super().__init__()
        self.target = target

    @cached_property
    def settings(self) -> Settings:
        """This installation's settings.

        Raises:
            ConfigError: a setting cannot be used.
        """
        return load_settings()

    @cached_property
    def services(self) -> dict[str, Service]:
        """All services by name, in start order."""
        return {service.name: service for service in catalogue(self.settings)}

    @cached_property
    def manager(self) -> ServiceManager:
        """Starts and stops the target's services.

        Raises:
            ConfigError: no such target.
        """
        return service_manager(self.target, self.settings)

    def service(self, name: str) -> Service:
        """One service of the catalogue.

        Raises:
            ConfigError: none of that name; the text names those that exist.
        """
        try:
            return self.services[name]
        except KeyError:
            raise ConfigError(f"no service {name!r}", remedy=f"There are: {', '.join(self.services)}") from None

    def get_conn(self) -> ServiceManager:
        """The service manager, under the name by which Airflow's hooks give their client."""
        return self.manager
