"""JSON text to values, with the knowledge whether the values are all that the text said."""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

import msgspec

from streaming.events.model import Json

MAX_DEPTH: Final = 200
"""Levels of objects and arrays. Elasticsearch stops at 1,000, Python's recursion not far beyond; no log needs 200."""


class TooDeepError(ValueError):
    """The text is nested more than `MAX_DEPTH` levels deep."""

    def __init__(self) -> None:
        super().__init__(f"more than {MAX_DEPTH} levels of objects and arrays")


class Decoded(NamedTuple):
    """A value, and whether it is `whole`.

    It is not where an object has a key twice, a number has more digits than a float holds, or the text is JSON only
    to lenient readers (NaN, half a surrogate pair).
    """

    value: Json
    whole: bool


def decode(text: str) -> Decoded | None:
    """The value, or None if the text is not JSON.

    Raises:
        TooDeepError: nobody can handle it.
    """
    try:
        value = msgspec.json.decode(text)
        strict = True
    except RecursionError:
        raise TooDeepError from None
    except (msgspec.MsgspecError, ValueError):
        try:
            value, strict = json.loads(text), False
        except RecursionError:
            raise TooDeepError from None
        except ValueError:
            return None
    whole = _quotes(value) == text.count('"') and strict
    return Decoded(value, whole and "\\u0022" not in text and not _LONG_FRACTION.search(text))


def encode(value: Json) -> str:
    """As compact JSON text; NaN and the infinities by these names."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_LONG_FRACTION: Final = re.compile(r"(?=[0-9]*\.)[0-9.]{18}", re.ASCII)
"""A float holds 17 digits at most."""


def _quotes(value: Json) -> int:
    """How many quotation marks the JSON text of the value has: more in a text say that it had a key twice."""
    quotes = 0
    waiting: list[tuple[Json, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            quotes += 2 + item.count('"')
        elif isinstance(item, dict):
            for key, inner in item.items():
                quotes += 2 + key.count('"')
                if isinstance(inner, str):
                    quotes += 2 + inner.count('"')
                elif isinstance(inner, dict | list):
                    waiting.append((inner, depth + 1))
        elif isinstance(item, list):
            waiting.extend((inner, depth + 1) for inner in item)
        if depth > MAX_DEPTH and isinstance(item, dict | list):
            raise TooDeepError
    return quotes
