"""JSON text to values, with the knowledge whether the values are all that the text said."""

from __future__ import annotations

import json
import math
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
    quotes, floats = _survey(value)
    whole = strict and quotes == text.count('"') and "\\u0022" not in text
    if floats and _LONG_FRACTION.search(text):
        whole = False
    return Decoded(value if strict else clean(value), whole)


def clean(value: Json) -> Json:
    """The value as any JSON writer can write it: NaN, infinities and lone surrogates become text that shows them.

    Two keys may become one by this; whoever calls keeps the text.
    """
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {clean_text(key): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item) for item in value]
    return value


def clean_text(text: str) -> str:
    """The text with lone surrogates, which UTF-8 does not have, as the six characters of their escape."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode()


def encode(value: Json) -> str:
    """As compact JSON text."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_LONG_FRACTION: Final = re.compile(r"(?=[0-9]{0,17}\.)[0-9.]{18}", re.ASCII)
"""A float holds 17 digits at most."""


def _survey(value: Json) -> tuple[int, bool]:
    """How many quotation marks the JSON text of the value has, and whether there is a float in it.

    More quotation marks in a text than in its value say that it had a key twice.
    """
    quotes, floats = 0, False
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
                elif isinstance(inner, dict | list | float):
                    waiting.append((inner, depth + 1))
        elif isinstance(item, float):
            floats = True
        elif isinstance(item, list):
            waiting.extend((inner, depth + 1) for inner in item)
        if depth > MAX_DEPTH and isinstance(item, dict | list):
            raise TooDeepError
    return quotes, floats
