"""`python -m streaming.heartbeat`: the heartbeat monitor, in the foreground until TERM."""

from __future__ import annotations

from streaming.heartbeat.monitor import NAME, HeartbeatMonitor
from streaming.settings import load_settings
from streaming.worker.run import exit_readably, run


def start() -> None:
    """Starts the monitor with the settings of the environment."""
    settings = load_settings()
    run(NAME, settings, [lambda: HeartbeatMonitor(settings)], settings.health_port(NAME))


if __name__ == "__main__":
    exit_readably(start)
