"""How the platform stands against what was ordered: what a scheduled DAG asks before it begins. Pure.

An asset or a finished run is an event; whether the platform is meant to be up now is a state, and is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from infra.gates import Probe
from infra.intent import Intent, Order


class Standing(StrEnum):
    """What was found."""

    UP = "up"
    """It is meant to be up, and what was asked for answers."""
    MEANT_DOWN = "meant-down"
    """It was torn down, or never deployed."""
    CHANGING = "changing"
    """It is being deployed, restarted or torn down just now."""
    DOWN = "down"
    """It is meant to be up, and something that was asked for does not answer: an outage."""


@dataclass(frozen=True)
class Found:
    """How it stands, and why, for a person."""

    standing: Standing
    reason: str


def meant(order: Order | None, changing: Sequence[str]) -> Found | None:
    """What is known before any service is asked; None: it is meant to be up and to stay so.

    Args:
        order: the last one.
        changing: DAGs that start or stop services and have a run under way.
    """
    if changing:
        return Found(Standing.CHANGING, f"{' and '.join(changing)} {'is' if len(changing) == 1 else 'are'} running")
    if order is None:
        return Found(Standing.MEANT_DOWN, "the platform was never deployed; deploy_platform does that")
    if order.intent is Intent.DOWN:
        return Found(
            Standing.MEANT_DOWN, f"the platform is meant to be down since {_moment(order.since_ms)}: {order.by}"
        )
    return None


def judged(order: Order, answers: Mapping[str, Probe]) -> Found:
    """How a platform stands that is meant to be up, by the answers of its services' gates, by name."""
    silent = {name: answer.reason for name, answer in answers.items() if not answer.ok}
    if not silent:
        return Found(Standing.UP, f"meant to be up since {_moment(order.since_ms)}, and {' and '.join(answers)} answer")
    why = "; ".join(f"{name}: {reason}" for name, reason in silent.items())
    return Found(Standing.DOWN, f"the platform is meant to be up since {_moment(order.since_ms)}, but {why}")


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
