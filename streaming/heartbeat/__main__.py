"""`python -m streaming.heartbeat [--slot N]`: the heartbeat monitor or, as a second slot, its standby, and the pipeline
monitor, in the foreground until TERM."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from threading import Event

from streaming.heartbeat.monitor import NAME, HeartbeatMonitor
from streaming.pipeline.monitor import PipelineMonitor
from streaming.settings import load_settings
from streaming.worker.run import Worker, exit_readably, run


def start(slot: int = 0) -> None:
    """Starts both with the settings of the environment; while the first stands by the second measures, and tells
    nothing."""
    settings, active = load_settings(), Event()
    factories: list[Callable[[], Worker]] = [
        lambda: HeartbeatMonitor(settings, slot, active),
        lambda: PipelineMonitor(settings, active.is_set),
    ]
    run(NAME, settings, factories, settings.health_port(NAME, slot))


def main() -> None:
    """Takes `--slot`; what stops it is told in one line."""
    parser = argparse.ArgumentParser(prog="python -m streaming.heartbeat", description="runs the heartbeat monitor")
    parser.add_argument(
        "--slot",
        type=int,
        default=0,
        metavar="N",
        help="which of several this is: 0, 1, ...; one is active, the others stand by",
    )
    slot: int = parser.parse_args().slot
    exit_readably(lambda: start(slot))


if __name__ == "__main__":
    main()
