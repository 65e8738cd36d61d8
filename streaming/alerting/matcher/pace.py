"""When a matcher commits: at once where something fires, but not so often that it does little else. Pure."""

from __future__ import annotations

from typing import Final

PARTIAL_COUNT_INTERVAL_S: Final = 0.5
"""Counts and values are committed so long after the first of them. A transaction takes 7 ms, in which nothing is read:
at two a second that is little, at each round of a busy stream it would be a quarter of the time."""

COMMIT_EVERY_S: Final = 1.0
"""Offsets, marks and progress are committed this often though nothing was found; after a crash so much is read again,
with the marks of that time, and again leads to nothing."""

FINDINGS_PER_S: Final = 2_000
"""The manager needs some 60 us for a finding: so many of one matcher are an eighth of its core. Rules with many groups
are told less often, then, with more in each count."""

LONGEST_S: Final = 5.0
"""And yet so often at the least."""

SHARE: Final = 2.0
SHARE_BEHIND: Final = 8.0
"""After a commit so many times its length is spent on reading; more while rounds are full: then logs wait anyway, and
less is left of them the fewer commits are made."""


class Pace:
    """Knows the last commit and what waits. Times are those of a clock that only goes forward, in seconds."""

    def __init__(self, now_s: float) -> None:
        self._committed_s = now_s
        self._counting_since_s: float | None = None
        self._took_s = 0.0
        self._gap_s = 0.0

    def due_s(self, now_s: float, *, fires: bool, counts: bool, behind: bool = False) -> float:
        """When to commit, as it stands now, where there is something that fires, or something else that was found;
        `behind`: the last round was full."""
        if not counts:
            self._counting_since_s = None
            due_s = self._committed_s + COMMIT_EVERY_S
        else:
            if self._counting_since_s is None:
                self._counting_since_s = now_s
            told_s = self._committed_s + min(self._gap_s, LONGEST_S)
            due_s = max(self._counting_since_s + PARTIAL_COUNT_INTERVAL_S, told_s)
        if fires:
            rest_s = self._took_s * (SHARE_BEHIND if behind else SHARE)
            due_s = min(due_s, self._committed_s + min(max(rest_s, self._gap_s), PARTIAL_COUNT_INTERVAL_S))
        return due_s

    def is_due(self, now_s: float, *, fires: bool, counts: bool, behind: bool = False) -> bool:
        """Whether that is now."""
        return self.due_s(now_s, fires=fires, counts=counts, behind=behind) <= now_s

    def committed(self, began_s: float, ended_s: float, findings: int) -> None:
        """A commit with so many findings took so long, whatever came of it."""
        self._committed_s, self._counting_since_s = ended_s, None
        self._took_s = ended_s - began_s
        self._gap_s = findings / FINDINGS_PER_S
