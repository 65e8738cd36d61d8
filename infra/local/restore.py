"""`vigil restore` for this machine: Kafka alone is up while its records are put back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from infra.local.layout import Layout
from infra.local.stack import running
from infra.local.starting import starting
from infra.local.supervisor import is_running
from streaming.backup.dump import Progress, Summary
from streaming.backup.load import restore
from streaming.settings import Settings

LOCK_WITHIN_S = 5.0


def restore_here(
    settings: Settings, path: Path, *, force: bool, progress: Progress, note: Callable[[str], None]
) -> Summary:
    """Puts a backup back. A platform that is down has its Kafka started for it, and stopped again after.

    Raises:
        streaming.backup.load.RestoreRefused: the platform is up, or Kafka holds records already.
        streaming.errors.VigilError: the file or Kafka cannot be used.
    """
    with _kafka(settings, note):
        return restore(settings, path, force=force, progress=progress)


@contextlib.contextmanager
def _kafka(settings: Settings, note: Callable[[str], None]) -> Iterator[None]:
    layout = Layout(settings.home)
    if settings.kafka_bootstrap or is_running(layout):
        yield
        return
    with starting(layout, LOCK_WITHIN_S, note), running(settings, ["kafka"], lambda _: None):
        yield
