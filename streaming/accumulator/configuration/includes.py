"""Which files an `@include` names.

Fluentd reads the word behind `@include` as a URL and expands its path as a pattern; what would mean something else in
a URL than in a file's name is refused here.
"""

from __future__ import annotations

import glob
import re
from pathlib import Path

_NOT_IN_NAMES = frozenset("%+?#[]{}\\")
"""Escapes, queries and fragments of a URL, or characters that Ruby's URL parser refuses."""


def included_files(folder: Path, written: str) -> list[Path]:
    """The files that `written` names, in the order of their names; relative to `folder`.

    A pattern (`*`) may match nothing, as in Fluentd; a name must be there.

    Raises:
        ValueError: no such file, or not a name or pattern that is understood.
    """
    if not written:
        raise ValueError("names no file")
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", written):
        raise ValueError("only files can be included, no URLs")
    if odd := sorted(_NOT_IN_NAMES.intersection(written)):
        raise ValueError(
            f"{' '.join(odd)} in {written!r}, which Fluentd takes as part of a URL; only * is a pattern here"
        )
    if "**" in written:
        raise ValueError(f"** in {written!r} is not supported; name the folders")
    found = sorted(glob.glob(written, root_dir=folder))  # noqa: PTH207 (Path.glob takes no absolute patterns)
    if not found and "*" not in written:
        raise ValueError(f"there is no file {written!r}")
    return [folder / name for name in found]
