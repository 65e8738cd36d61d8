"""Command lines as RTGetOpt reads them: options with or without a value, anything unknown refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.virtualbox.failures import syntax


@dataclass
class Parsed:
    """Options in their order (name without dashes, value), and what is no option."""

    options: list[tuple[str, str]] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)

    def get(self, name: str) -> str | None:
        """The last value of an option."""
        return next((value for option, value in reversed(self.options) if option == name), None)


def parse(arguments: list[str], known: Mapping[str, int]) -> Parsed:
    """Reads a command line.

    Args:
        arguments: after the command and what stands in fixed places.
        known: names of options without dashes to how many values follow.
    """
    parsed = Parsed()
    left = list(arguments)
    while left:
        word = left.pop(0)
        if not word.startswith("-") or word == "-":
            parsed.rest.append(word)
            continue
        name = word.lstrip("-").lower()
        if name not in known:
            raise syntax(f"Unknown option: {word}")
        if len(left) < known[name]:
            raise syntax(f"Missing argument to option: {word}")
        parsed.options.append((name, " ".join(left.pop(0) for _ in range(known[name]))))
    return parsed


def yes(value: str | None) -> bool:
    """A switch."""
    if value is None or value.lower() not in ("on", "yes", "true", "1", "off", "no", "false", "0"):
        raise syntax(f"Invalid parameter '{value}'")
    return value.lower() in ("on", "yes", "true", "1")
