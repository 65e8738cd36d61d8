"""Which of two events of an incident or a node is the later one. Pure.

Elasticsearch compares versions of the last state: the time of the event in ms, so that what is read again, after a
crash or from a restored topic, never goes back. Times alone do not order all: two changes may share a millisecond, and
a clock may be set back. So where Elasticsearch says that what it has is not older, the offset decides, of which a topic
gives a later event a higher one.

A restore begins a topic's offsets anew. What it brings back has the times that it had, and lower offsets: it changes
nothing. What happens after it has later times (by more milliseconds than events shared the last one), so it takes the
place of what was, also where a restored incident goes on from an older state than the one that is known here.
"""

from __future__ import annotations

from typing import NamedTuple

MAX_VERSION = 2**62


class Known(NamedTuple):
    """What Elasticsearch has: its version, and the offset of the event that it tells of."""

    version: int
    offset: int


def version_of(at_ms: int) -> int:
    """The version of what is since an event at this time."""
    return min(max(0, at_ms), MAX_VERSION)


def version_over(known: Known | None, version: int, offset: int) -> int | None:
    """Under which version an event that met with a conflict takes the place of what is known; None: it is not later."""
    if known is None:
        return version
    if version > known.version or offset > known.offset:
        return max(version, known.version + 1)
    return None
