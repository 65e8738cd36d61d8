"""How far earlier runs have proven everything, kept in VIGIL_HOME for `--resume`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from streaming import decoding
from streaming.errors import ConfigError
from streaming.files import write_whole
from streaming.settings import Settings


class State(msgspec.Struct):
    """Everything before these was proven. Never past a loss: the next run looks there again."""

    offsets: dict[str, int] = {}
    """By `topic-partition`: the next offset."""
    sequences: dict[str, int] = {}
    """By `accumulator.incarnation`: the last sequence."""


def path_of(settings: Settings) -> Path:
    """One file for each installation that this home is used with."""
    return settings.home / "verify" / f"{settings.topic_prefix or 'vigil'}.json"


def load(settings: Settings) -> State:
    """Empty where there is none.

    Raises:
        ConfigError: it cannot be read.
    """
    file = path_of(settings)
    try:
        return decoding.decode(file.read_bytes(), State)
    except FileNotFoundError:
        return State()
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"how far was verified cannot be read ({error})", file=file, remedy="Delete it, or run without --resume"
        ) from error


def save(settings: Settings, state: State) -> None:
    """Whole or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    write_whole(path_of(settings), msgspec.json.encode(state))
