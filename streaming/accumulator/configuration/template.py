r"""Texts with placeholders, as filter `record_transformer` takes them without Ruby.

Source: Fluentd's documentation, "record_transformer", and its PlaceholderExpander: a placeholder is `${..}` up to the
first `}`. Known are `${tag}`, `${tag_parts[n]}`, `${tag_prefix[n]}`, `${tag_suffix[n]}` (n may count from the end,
as -1), `${hostname}`, `${time}` and `${record["key"]}`, which names a key of the top level. Of another one Fluentd
makes nothing at all, with a warning for each event; it is refused here.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal

_PLACEHOLDER = re.compile(r"(\$\{[^}]+\}|__[A-Z_]+__)")
_INDEXED = re.compile(r"\$\{(tag_parts|tag_prefix|tag_suffix)\[(0|-?[1-9][0-9]{0,3})\]\}")
_RECORD = re.compile(r'\$\{record\["([^"]*)"\]\}')
_KNOWN = '${tag}, ${tag_parts[n]}, ${tag_prefix[n]}, ${tag_suffix[n]}, ${hostname}, ${time}, ${record["key"]}'


@dataclass(frozen=True)
class Placeholder:
    """What stands for a value of an event. `index` belongs to the parts of a tag, `key` to `record`."""

    kind: Literal["tag", "tag_parts", "tag_prefix", "tag_suffix", "hostname", "time", "record"]
    index: int = 0
    key: str = ""


@dataclass(frozen=True)
class Template:
    """A text, parted at its placeholders."""

    parts: tuple[str | Placeholder, ...]

    @property
    def single(self) -> Placeholder | None:
        """The placeholder that is all there is; its value may keep its type."""
        only = self.parts[0] if len(self.parts) == 1 else None
        return only if isinstance(only, Placeholder) else None


@dataclass(frozen=True)
class Array:
    """A JSON array with templates for its texts."""

    items: tuple[Value, ...]


@dataclass(frozen=True)
class Hash:
    """A JSON object with templates for its keys and texts."""

    pairs: tuple[tuple[Template, Value], ...]


Value = Template | Array | Hash | bool | int | float | None


def value_of(text: str) -> Value:
    """What a parameter of `<record>` says: JSON where it begins as an array or object does, else a text.

    As in Fluentd, what begins so and is no JSON is a text.

    Raises:
        ValueError: a placeholder that is not known.
    """
    if text.startswith(("{", "[")):
        try:
            found: object = json.loads(text)
        except (ValueError, RecursionError):
            return template_of(text)
        return _json(found)
    return template_of(text)


def _json(value: object) -> Value:
    if isinstance(value, str):
        return template_of(value)
    if isinstance(value, list):
        return Array(tuple(_json(item) for item in value))
    if isinstance(value, dict):
        return Hash(tuple((template_of(key), _json(item)) for key, item in value.items()))
    if value is None or isinstance(value, bool | int | float):
        return value
    raise TypeError(f"JSON gives no {type(value).__name__}")


def template_of(text: str) -> Template:
    """Raises ValueError for a placeholder that is not known."""
    parts = [_placeholder(part) if n % 2 else part for n, part in enumerate(_PLACEHOLDER.split(text))]
    return Template(tuple(part for part in parts if part != ""))


def _placeholder(text: str) -> Placeholder:
    if text == "${tag}":
        return Placeholder("tag")
    if text == "${hostname}":
        return Placeholder("hostname")
    if text == "${time}":
        return Placeholder("time")
    if found := _INDEXED.fullmatch(text):
        index = int(found[2])
        if found[1] == "tag_parts":
            return Placeholder("tag_parts", index)
        return Placeholder("tag_prefix" if found[1] == "tag_prefix" else "tag_suffix", index)
    if found := _RECORD.fullmatch(text):
        return Placeholder("record", key=found[1])
    if text.startswith("__"):
        raise ValueError(f"{text} is an old placeholder, of which Fluentd makes nothing; write ${{..}}")
    why = "; a nested key needs Ruby" if text.startswith("${record") else ""
    raise ValueError(f"{text} is no placeholder without Ruby code{why}. Known are {_KNOWN}")
