"""A record too large for its topic, cut to fit: the same every time, and it says so."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import orjson

from streaming.accumulator.delivery.events import DEPTH_LIMIT, ORIGINAL

if TYPE_CHECKING:
    from streaming.events.model import Json

TRUNCATED = "vigil_truncated"
"""Field of a record that was cut: how many bytes of JSON the whole one had."""

_TEXT_LIMITS = (262_144, 65_536, 16_384, 4_096, 1_024, 256)
"""Characters that each text may keep, tried in turn. The first leaves a stack trace whole beside a long message."""

_KEY_LIMIT = 256


def cut(record: dict[str, Json], size: int, limit: int) -> bytes:
    """The record as JSON of at most `limit` bytes. `size` is that of the whole record as JSON.

    Long texts lose their ends. Where that is not enough, since there are too many values, the first ones stay that
    have room.
    """
    mark: dict[str, Json] = {TRUNCATED: size}
    whole = {key: value for key, value in record.items() if key != ORIGINAL} | mark
    for characters in _TEXT_LIMITS:
        value = orjson.dumps(_shortened(whole, characters, 0))
        if len(value) <= limit:
            return value
    return orjson.dumps(_first_values(whole, limit - len(orjson.dumps(mark))) | mark)


def _shortened(value: Json, characters: int, depth: int) -> Json:
    if isinstance(value, str):
        return value if len(value) <= characters else value[:characters]
    if depth >= DEPTH_LIMIT:
        return value
    if isinstance(value, list):
        return [_shortened(item, characters, depth + 1) for item in value]
    if isinstance(value, dict):
        return {key: _shortened(item, characters, depth + 1) for key, item in value.items()}
    return value


def _first_values(record: dict[str, Json], room: int) -> dict[str, Json]:
    """Single values before lists and maps: node, service, level and message are what a reader looks for."""
    simple = {k: v for k, v in record.items() if not isinstance(v, dict | list) and len(k) <= _KEY_LIMIT}
    nested = {k: v for k, v in record.items() if isinstance(v, dict | list) and len(k) <= _KEY_LIMIT}
    kept: dict[str, Json] = {}
    for key, value in itertools.chain(simple.items(), nested.items()):
        short = _shortened(value, _TEXT_LIMITS[-1], 0)
        size = len(orjson.dumps({key: short}))
        if size <= room:
            kept[key] = short
            room -= size
    return kept
