"""`labels`: what has no field of its own, and how it becomes a flattened field that Elasticsearch takes.

Elasticsearch refuses a whole document for a flattened key that is empty, holds a NUL, or lies too deep, and reads
a dot in a key as a path.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from streaming.events.fields import LABELS_DEPTH, LABELS_KEY_CHARACTERS
from streaming.events.model import Json

_MAX_INTEGER: Final = 2**64 - 1
_MIN_INTEGER: Final = -(2**63)
"""What a JSON writer with 64-bit integers can write."""

_UNSAFE: Final = str.maketrans({".": "_", "\0": "_"})


def put(labels: dict[str, Json], key: str, value: Json) -> None:
    """Adds `value` under `key`, or under `key#2`, `key#3` … where that is taken by another value."""
    name, number = key, 1
    while name in labels:
        if labels[name] is value:
            return
        number += 1
        name = f"{key}#{number}"
    labels[name] = value


def safe(labels: Mapping[str, Json], level: int = 1) -> dict[str, Json]:
    """`labels` with the same values under keys that a flattened field takes, at most `LABELS_DEPTH` levels deep.

    Dots and NULs in keys become `_`; keys without a visible character `(empty)`; two keys that would become one
    are told apart by a hash, which also shortens long keys; the whole of a long key is kept as a value beside it, under
    the short one and `~key`. What lies too deep becomes JSON text; NaN, infinities
    and integers over 64 bits become text.
    """
    kept: dict[str, Json] = {}
    for key, value in labels.items():
        long = len(key) > LABELS_KEY_CHARACTERS
        name = _hashed(key) if long else _safe_key(key)
        if name in kept:
            name = _hashed(key)
        while name in kept or (long and name + _WHOLE_KEY in kept):
            name += "'"
        kept[name] = _safe_value(value, level)
        if long:
            kept[name + _WHOLE_KEY] = key
    return kept


def _safe_value(value: Json, level: int) -> Json:
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if _MIN_INTEGER <= value <= _MAX_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if level >= LABELS_DEPTH:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return safe(value, level + 1)
    return [_safe_value(item, level + 1) for item in value]


@lru_cache(maxsize=4_096)  # called with keys of at most LABELS_KEY_CHARACTERS: 4 MB at the very worst
def _safe_key(key: str) -> str:
    return key.translate(_UNSAFE) if key.strip() else "(empty)"


def _hashed(key: str) -> str:
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{_safe_key(key[:_CUT])}~{digest}"


_WHOLE_KEY: Final = "~key"
_CUT: Final = LABELS_KEY_CHARACTERS - 16 - len("~") - len(_WHOLE_KEY) - 3
"""Of a key that gets a hash of 16 characters; 3 are left for ticks."""
