"""What this host remembers of the servers of a deployment: which ones are whole (`standing.json` of its folder)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from streaming import decoding
from streaming.errors import ConfigError
from streaming.files import write_whole


class Standing(msgspec.Struct, frozen=True):
    """`kafka` is the id of the cluster whose topics hold all that there is to be had, `elasticsearch` the UUID of the
    one that was given all documents from the beginning. Empty: there was none yet."""

    kafka: str = ""
    elasticsearch: str = ""


def load(folder: Path) -> Standing:
    """Of the deployment of that folder.

    Raises:
        ConfigError: it cannot be read.
    """
    file = _file(folder)
    try:
        return decoding.decode(file.read_bytes(), Standing)
    except FileNotFoundError:
        return Standing()
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"what is remembered of the servers cannot be read: {error}",
            file=file,
            remedy="Delete it if nothing was lost: it is written again by the next deployment",
        ) from error


def save(folder: Path, standing: Standing) -> None:
    """Whole or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    write_whole(_file(folder), msgspec.json.encode(standing) + b"\n")


def forget(folder: Path) -> None:
    """After a teardown: what is deployed next was never there before."""
    _file(folder).unlink(missing_ok=True)


def _file(folder: Path) -> Path:
    return folder / "standing.json"
