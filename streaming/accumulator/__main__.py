"""`python -m streaming.accumulator CONF [--name NAME] [--slot N]`: one accumulator."""

from __future__ import annotations

import argparse
import gc
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from streaming.errors import ConfigError, VigilError
from streaming.settings import WORKERS, load_settings


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs until TERM or INT. Ends with the error's exit code, and its text in one line on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m streaming.accumulator", description="Receives logs, spools them, delivers them to Kafka"
    )
    parser.add_argument("configuration", type=Path, help="a Fluentd configuration, such as fluentd/fluent1.conf")
    parser.add_argument("--name", help="name of its spool and its coordinates; default: fluent1.conf is accumulator1")
    parser.add_argument("--slot", type=int, default=0, help="shifts its health port, for several of one name")
    given = parser.parse_args(arguments)
    try:
        start(given.configuration, given.name, given.slot)
    except VigilError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


def start(configuration: Path, name: str | None = None, slot: int = 0) -> None:
    """Runs an accumulator until it is told to stop.

    Raises:
        VigilError: it cannot work; the text says why.
    """
    from streaming.accumulator.sources.open_files import raise_limit
    from streaming.accumulator.worker import Accumulator
    from streaming.worker.run import run

    settings = load_settings()
    name = name or name_for(configuration)
    if name not in WORKERS or not name.startswith("accumulator"):
        known = ", ".join(w for w in WORKERS if w.startswith("accumulator"))
        raise ConfigError(f"no accumulator is called {name!r}", field="--name", remedy=f"There are {known}")
    raise_limit()
    # A commit that others wait for should not stand 5 ms (the default) behind the pump that unpacks a chunk.
    sys.setswitchinterval(0.001)
    _calm_the_collector()
    run(name, settings, [lambda: Accumulator(settings, configuration, name)], settings.health_port(name, slot))


def _calm_the_collector() -> None:
    """Tens of thousands of records are under way at a time, and none of them is part of a cycle.

    By default the cyclic garbage collector walks them every 700 allocations, and each so often all that the process
    has. It still comes by, once in some ten thousand records, for what exceptions leave behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def name_for(configuration: Path) -> str:
    """The accumulator that a file is meant for: `fluent2.conf` is accumulator2, any other the first."""
    number = re.search(r"(\d+)$", configuration.stem)
    return f"accumulator{number[1] if number else 1}"


if __name__ == "__main__":
    main()
