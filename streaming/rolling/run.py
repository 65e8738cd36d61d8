"""One roll: look, decide, do. Any number may run at once; each does what is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from streaming.errors import VigilError
from streaming.rolling.disk import Outlook
from streaming.rolling.executing import Done, Executor
from streaming.rolling.expiry import Expiry
from streaming.rolling.planning import Plan, Policy, plan
from streaming.rolling.reading import read_state
from streaming.rolling.state import State
from streaming.settings import Settings


class RollFailed(VigilError):
    """Something that is due was not done; the text says what, why, and what to do."""


@dataclass
class Report:
    """What was planned and, unless it was a dry run, done."""

    state: State
    plan: Plan
    dry_run: bool
    disks: list[str] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)

    @property
    def failed(self) -> list[Done]:
        """Actions that Elasticsearch refused."""
        return [one for one in self.done if one.failed]

    def check(self) -> None:
        """
        Raises:
            RollFailed: deletions were refused, an action failed, or there is no repository for snapshots.
        """
        if self.plan.refused is not None:
            raise RollFailed(str(self.plan.refused))
        if self.failed:
            more = f" (and {len(self.failed) - 1} more)" if len(self.failed) > 1 else ""
            raise RollFailed(f"{self.failed[0].action}: {self.failed[0].failed}{more}")
        if self.state.no_repository:
            raise RollFailed(self.state.no_repository)

    def lines(self) -> Iterator[str]:
        """For a person: what a dry run would do, what was refused, then how the disks are. What was done, `say` was
        told; failures and warnings are apart."""
        if self.dry_run:
            yield from (f"would {action}" for action in self.plan.actions)
        elif not self.plan.actions and self.plan.refused is None:
            yield "nothing to do: all indices are as they should be"
        if self.plan.refused is not None:
            yield from (f"refused to {action}" for action in self.plan.refused.actions)
        yield from (f"disk {line}" for line in self.disks)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        outcomes = {id(one.action): one.failed for one in self.done}
        return {
            "dry_run": self.dry_run,
            "actions": [
                {
                    "action": type(action).__name__,
                    "what": str(action),
                    "done": id(action) in outcomes and not outcomes[id(action)],
                    "failed": outcomes.get(id(action), ""),
                }
                for action in self.plan.actions
            ],
            "refused": None if self.plan.refused is None else str(self.plan.refused),
            "refused_indices": [] if self.plan.refused is None else [one.index for one in self.plan.refused.actions],
            "warnings": list(self.plan.warnings),
            "disks": self.disks,
        }


def roll(
    settings: Settings,
    *,
    dry_run: bool = False,
    allow_deleting: float | None = None,
    policy: Policy | None = None,
    say: Callable[[str], None] = lambda _line: None,
    clock: Callable[[], float] = time.time,
) -> Report:
    """Brings the indices to what they should be. `allow_deleting`: the share that may be deleted at once, this time.

    `say` is told of each action before it is done.

    Raises:
        Unavailable: Elasticsearch or Kafka does not answer. What was done is done; the next roll does the rest.
        Refused: Elasticsearch will not say how its indices are.
    """
    policy = policy or Policy()
    state = read_state(settings, clock=clock)
    made = plan(state, policy, allow_deleting)
    expiry = Expiry(state.retention, state.today, policy.history_days)
    outlook = Outlook(state, expiry, policy.measured_days)
    report = Report(state, made, dry_run, [outlook.line(node) for node in state.nodes])
    if dry_run:
        return report
    executor = Executor(settings, say)
    try:
        report.done.extend(executor.run(made.actions))
    finally:
        executor.close()
    return report
