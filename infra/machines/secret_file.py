"""A file of secrets on this host, of its owner alone."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from streaming import decoding
from streaming.errors import ConfigError

T = TypeVar("T")

PASSWORD_BYTES = 24
"""192 bits, 32 characters of URL-safe base64; Kibana's encryption keys have to have 32 at least."""


def read(file: Path, kind: type[T]) -> T | None:
    """What it holds; None where there is no such file.

    Raises:
        ConfigError: others may read it, it cannot be read, or it is something else. The text shows nothing of it.
    """
    try:
        if file.stat().st_mode & 0o077:
            raise ConfigError("others may read these secrets", file=file, remedy=f"chmod 600 {file}")
        return decoding.decode(file.read_bytes(), kind)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", file=file) from error
    except msgspec.DecodeError:
        # The error could show what the file holds.
        raise ConfigError("is no file of secrets", file=file, remedy="Restore it from a backup") from None
