"""`python -m streaming.alerting_system`: matcher, manager, notifier, heartbeat and pipeline monitor in one process.

The same workers as in four processes, for a small installation. If one of them fails, the process ends and its
supervisor starts it again.
"""

from __future__ import annotations

import sys
from threading import Event

from streaming.errors import VigilError
from streaming.settings import Settings, load_settings
from streaming.worker.run import run

NAME = "alerting-system"


def run_alerting_system(settings: Settings) -> None:
    """Runs until TERM.

    Raises:
        VigilError: it cannot work; the text says why.
    """
    from streaming.alerting.manager.worker import Manager
    from streaming.alerting.matcher.worker import Matcher
    from streaming.alerting.notifier.worker import Notifier
    from streaming.heartbeat.monitor import HeartbeatMonitor
    from streaming.pipeline.monitor import PipelineMonitor

    active = Event()
    run(
        NAME,
        settings,
        [
            lambda: Notifier(settings),
            lambda: Manager(settings),
            lambda: Matcher(settings),
            lambda: HeartbeatMonitor(settings, active=active),
            lambda: PipelineMonitor(settings, active.is_set),
        ],
        settings.health_port(NAME),
    )


def main() -> None:
    """Runs all of them; what stops them is told in one line."""
    try:
        run_alerting_system(load_settings())
    except VigilError as error:
        print(f"{NAME}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
