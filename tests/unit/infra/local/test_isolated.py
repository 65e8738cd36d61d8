"""Settings of a platform beside others."""

from __future__ import annotations

from pathlib import Path

from infra.local.isolated import HEALTH_PORTS, isolated_settings
from streaming.settings import Settings


def test_no_port_is_given_twice(tmp_path: Path) -> None:
    """Chosen by chance, so many times: where they were chosen apart, one in fifty platforms could not start."""
    for number in range(100):
        settings = isolated_settings(tmp_path / str(number))
        health = range(settings.health_port_base, settings.health_port_base + HEALTH_PORTS)
        ports = [getattr(settings, name) for name in Settings.model_fields if name.endswith("_port")]
        assert len({*ports, *health}) == len(ports) + HEALTH_PORTS
