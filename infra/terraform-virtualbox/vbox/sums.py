"""Sums of files, and what is said of a wrong one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from vbox.errors import VboxError

_CHUNK = 1024 * 1024


def digest_of(file: Path, algorithm: str, check: Callable[[], None]) -> str:
    """The sum of a file, in hexadecimal digits. `check` is called now and then and may raise."""
    found = hashlib.new(algorithm)
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            check()
            found.update(chunk)
    return found.hexdigest()


def wrong_sum(source: str, algorithm: str, found: str, wanted: str) -> VboxError:
    """The error of a file that is not the one that was meant."""
    return VboxError(
        f"the {algorithm} sum of {source} is {found}, not {wanted}",
        remedy="Take the sum from where the image is published; images named 'latest' or 'current' change",
    )
