"""The `vigil` command: the platform's commands and the workers', joined."""

from __future__ import annotations

import os
import sys

import typer

from infra.kibana import cli as kibana
from infra.local import cli as local
from infra.machines import cli as machines
from streaming.cli import app as workers

app = typer.Typer(
    name="vigil",
    help="Distributed log management and real-time alerting.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
local.register(app)
kibana.register(app)
machines.register(app)
workers.register(app)


def main() -> None:
    """Runs the command line.

    An error that a person is meant to read is its text on standard error and the exit code of its kind; Ctrl-C
    ends with 130, and a closed pipe (`vigil search ... | head`) with 141, both without a word.
    """
    from streaming.errors import VigilError

    try:
        app()
    except VigilError as error:
        sys.stdout.flush()
        print(f"vigil: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Python flushes once more at its end, into the same closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


if __name__ == "__main__":
    main()
