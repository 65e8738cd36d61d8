"""YAML, with the line of everything in it."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

import yaml

from streaming.errors import ConfigError

Location = tuple[int | str, ...]
"""A place in a file: `("rules", 0, "where", "levels", 1)`."""

Lines = dict[Location, int]


class _Lines(yaml.CSafeLoader):
    """Loads plain data and notes the line of every key and item."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lines: Lines = {}

    def data(self) -> object:
        node = self.get_single_node()
        if node is None:
            return None
        self._note(node, ())
        return self.construct_document(node)

    def _note(self, node: yaml.Node, place: Location) -> None:
        self.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            known: set[Hashable] = set()
            for key, value in node.value:
                name = str(key.value)
                if name in known:
                    raise yaml.constructor.ConstructorError(None, None, f"{name!r} is given twice", key.start_mark)
                known.add(name)
                self.lines[(*place, name)] = key.start_mark.line + 1
                self._note(value, (*place, name))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._note(item, (*place, index))


def parse(file: Path, text: str) -> tuple[object, Lines]:
    """The plain data of a YAML text, and the line of each key and item in it.

    Raises:
        ConfigError: it is no YAML; with the line.
    """
    loader = None
    try:
        loader = _Lines(text)
        return loader.data(), loader.lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ConfigError(
            f"not valid YAML: {error.problem or error.context}", file=file, line=mark.line + 1 if mark else None
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, AttributeError, LookupError) as error:
        # PyYAML raises what its own code stumbles upon where a tag does not fit: `!!bool x` is a KeyError.
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}", file=file) from error
    finally:
        if loader:
            loader.dispose()


def line_of(lines: Lines, place: Location) -> int | None:
    """The line of a place, or of the nearest thing around it."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place)


def dotted(place: Location) -> str:
    """`rules[0].where.levels[1]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")
