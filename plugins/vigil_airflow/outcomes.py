"""What a look at something that is waited for found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What a look found."""

    MET = "met"
    WAITING = "waiting"
    """Not yet, and it may still come."""
    HOPELESS = "hopeless"
    """It will not come by waiting."""


@dataclass(frozen=True)
class Seen:
    """An outcome, and its reason for a person."""

    outcome: Outcome
    reason: str

    @classmethod
    def of_event(cls, event: dict[str, str]) -> Seen:
        """From what a trigger told."""
        return cls(Outcome(event["outcome"]), event["reason"])
