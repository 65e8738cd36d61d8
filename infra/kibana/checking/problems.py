"""What is wrong with an object."""

from __future__ import annotations

from dataclasses import dataclass

from infra.kibana.stored.objects import SavedObject


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one object."""

    object: str
    """`TYPE:ID`."""
    title: str
    reason: str

    def __str__(self) -> str:
        return f"{self.object} ({self.title}): {self.reason}"


def problem(about: SavedObject, reason: str) -> Problem:
    """Of this object."""
    return Problem(about.key, about.title, reason)
