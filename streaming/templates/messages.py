"""What is in the topics of fingerprints and templates, as JSON."""

from __future__ import annotations

import msgspec


class Shape(msgspec.Struct, frozen=True, gc=False):
    """A shape of message that some indexer saw; topic `fingerprints`, keyed by the fingerprint.

    The same shape may come again and again, from several indexers and every day anew: only the last record stays.
    """

    fingerprint: str
    masked: str
    example: str
    first_seen_ms: int
    """Receive time of the message that is the example; the least of all that came is kept in `Placed`."""


class Placed(msgspec.Struct, frozen=True, gc=False):
    """Which template a fingerprint belongs to now; topic `templates`, keyed by the fingerprint."""

    fingerprint: str
    template: str
    """The fingerprint of `text`: a shape that is like no other is its own template."""
    text: str
    first_seen_ms: int
    version: int
    """`merging.MERGE_VERSION` of the one who wrote it."""


class Summary(msgspec.Struct, frozen=True):
    """The map as a whole; topic `templates`, under the key `SUMMARY_KEY`."""

    revision: int
    """Counts the changes of the map."""
    shapes: int
    templates: int
    refused: int
    """Shapes for which there was no room, since the map was made. Their messages count under no template."""


SUMMARY_KEY = b"summary"
"""No fingerprint: those have 16 characters."""
