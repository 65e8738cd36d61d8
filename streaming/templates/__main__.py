"""`python -m streaming.templates`: the templates worker, in the foreground until TERM."""

from __future__ import annotations

from streaming.settings import load_settings
from streaming.templates.worker import NAME, TemplateWorker
from streaming.worker.run import exit_readably, run


def start() -> None:
    """Starts the worker with the settings of the environment."""
    settings = load_settings()
    run(NAME, settings, [lambda: TemplateWorker(settings)], settings.health_port(NAME))


if __name__ == "__main__":
    exit_readably(start)
