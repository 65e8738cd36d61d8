"""Whether the platform is meant to be up: what deploy and teardown leave behind for scheduled DAGs and `status`.

A platform that is down while it is meant to be up is an outage; one that was torn down is not. Only the last
order is kept, in `HOME/run/intent.json`.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

import msgspec

from streaming.errors import ConfigError
from streaming.settings import Settings


class Intent(StrEnum):
    """The last order: a deployment (from its begin, whether or not it succeeded) or a teardown."""

    UP = "up"
    DOWN = "down"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An intent, since when (milliseconds since the epoch) and by whom (DAG and run id, or a command)."""

    intent: Intent
    since_ms: int
    by: str


def intent_file(settings: Settings) -> Path:
    """Where the last order is kept."""
    return settings.home / "run" / "intent.json"


def record_order(settings: Settings, order: Order) -> None:
    """Replaces the last order; a reader sees the old one or the new one, never a part.

    Raises:
        ConfigError: it cannot be written.
    """
    file = intent_file(settings)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(msgspec.json.encode(order) + b"\n")
        draft.replace(file)
    except OSError as error:
        raise ConfigError(
            f"cannot be written ({error.strerror})", file=file, remedy="Is VIGIL_HOME another user's?"
        ) from error


def last_order(settings: Settings) -> Order | None:
    """The last order; None on a platform that was never deployed.

    Raises:
        ConfigError: the file is there and cannot be read as an order.
    """
    file = intent_file(settings)
    try:
        return msgspec.json.decode(file.read_bytes(), type=Order)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise ConfigError(str(error), file=file, remedy="Delete it, then deploy or tear down again") from error
