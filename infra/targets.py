"""Where a deployment goes: the target's name to the manager of its services."""

from __future__ import annotations

from infra.service_manager import ServiceManager
from streaming.errors import ConfigError
from streaming.settings import Settings

TARGETS: tuple[str, ...] = ("local",)


def service_manager(target: str, settings: Settings) -> ServiceManager:
    """The manager of a target's services. Nothing is connected yet: its first call does that.

    Raises:
        ConfigError: no such target; the text names those that exist.
    """
    if target == "local":
        from infra.local.supervisor import SupervisorManager

        return SupervisorManager(settings)
    raise ConfigError(f"no target {target!r}", field="target", remedy=f"There is: {', '.join(TARGETS)}")
