"""How an alerting worker is started: one slot of it, its errors in one line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from streaming.errors import VigilError
from streaming.settings import Settings, load_settings
from streaming.worker.run import Worker, run


def start(name: str, factory: Callable[[Settings, int], Worker], slot: int) -> None:
    """Runs one slot of a worker until TERM.

    Raises:
        VigilError: it cannot work; the text says why.
    """
    settings = load_settings()
    run(name, settings, [lambda: factory(settings, slot)], settings.health_port(name, slot))


def run_worker(name: str, factory: Callable[[Settings, int], Worker]) -> None:
    """The `main` of a worker: takes `--slot`; what stops it is told in one line."""
    parser = argparse.ArgumentParser(prog=f"python -m streaming.alerting.{name}", description=f"runs the {name}")
    parser.add_argument(
        "--slot",
        type=int,
        default=0,
        metavar="N",
        help="which of several this is: 0, 1, ...; a slot that is started again takes over from its forerunner",
    )
    slot: int = parser.parse_args().slot
    try:
        start(name, factory, slot)
    except VigilError as error:
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
