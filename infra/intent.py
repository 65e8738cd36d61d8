"""Whether the platform is meant to be up: what deploy and teardown leave behind for scheduled DAGs and `status`.

A platform that is down while it is meant to be up is an outage; one that was torn down is not. Only the last
order is kept, in `HOME/run/intent.json`.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from streaming import decoding
from streaming.errors import ConfigError
from streaming.files import write_whole


class Intent(StrEnum):
    """The last order: a deployment (from its begin, whether or not it succeeded) or a teardown."""

    UP = "up"
    DOWN = "down"


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An intent, since when (milliseconds since the epoch) and by whom (DAG and run id, or a command)."""

    intent: Intent
    since_ms: int
    by: str


def intent_file(home: Path) -> Path:
    """Where the last order is kept; `home` is that of the platform (`infra.targets.Target.home`)."""
    return home / "run" / "intent.json"


def record_order(home: Path, order: Order) -> None:
    """Replaces the last order; a reader sees the old one or the new one, never a part.

    Raises:
        ConfigError: it cannot be written.
    """
    content = msgspec.json.encode(order) + b"\n"
    write_whole(intent_file(home), content, remedy="Is VIGIL_HOME another user's?")


def last_order(home: Path) -> Order | None:
    """The last order; None on a platform that was never deployed.

    Raises:
        ConfigError: the file is there and cannot be read as an order.
    """
    file = intent_file(home)
    try:
        return decoding.decode(file.read_bytes(), Order)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise ConfigError(str(error), file=file, remedy="Delete it, then deploy or tear down again") from error
