"""The variables that the configuration files ask for, with this installation's settings behind them."""

from __future__ import annotations

import os

from streaming.settings import Settings


def variables(settings: Settings) -> dict[str, str]:
    """What a real Fluentd must be given in its environment to do as the built-in accumulator does.

    The built-in accumulator reads the same values without an export.
    """
    return {
        "VIGIL_BIND_HOST": settings.bind_host,
        "VIGIL_ACCUMULATOR1_PORT": str(settings.accumulator1_port),
        "VIGIL_ACCUMULATOR2_PORT": str(settings.accumulator2_port),
        "VIGIL_ACCUMULATOR3_PORT": str(settings.accumulator3_port),
        "VIGIL_KAFKA_BOOTSTRAP": settings.bootstrap,
        "VIGIL_TOPIC_PREFIX": settings.topic_prefix,
        "VIGIL_LOG_DIR": str(settings.log_dir),
        "VIGIL_SPOOL_DIR": str(settings.home / "spool"),
    }


def environment(settings: Settings) -> dict[str, str]:
    """This process's variables and, over them, those that follow from the settings."""
    return {**os.environ, **variables(settings)}
