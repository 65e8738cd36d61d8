"""The short name of a message's shape, the same wherever and whenever it is computed."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

from streaming.fingerprint.masking import head, mask_skeleton, skeleton, zero_digits
from streaming.fingerprint.recent import Recent

VERSION: Final = 1
"""Goes into every fingerprint. Raise it with any change that changes what some message is masked to: documents keep
the fingerprint that they were given, and a changed rule must not give an old name a new meaning."""

FINGERPRINT_BYTES: Final = 8
"""Among a million shapes two share one with a probability of 10^12 / 2 / 2^64 = 3 in 10^8."""

SHAPES_KEPT: Final = 4_096
"""In each of two generations of both tables: 4 * 4,096 * about 200 bytes = 3 MB; 4 * 4,096 * HEAD = 17 MB at most
for ASCII."""


def fingerprint(message: str) -> str:
    """64 bits of the masked text, in hexadecimal. Never raises.

    It depends on `VERSION` and the head of the message (`masking.head`) alone, so indexer, matcher, replay and
    backtest agree without asking each other.
    """
    return _by_zeroed[zero_digits(head(message))]


def fingerprint_of_mask(masked: str) -> str:
    """The fingerprint of every message of which `mask` makes this text."""
    return blake2b(f"{VERSION}\n{masked}".encode(), digest_size=FINGERPRINT_BYTES).hexdigest()


# A message whose numbers only change their digits costs one look-up; if they change their length, a second.
_by_skeleton: Final[Recent[bytes, str]] = Recent(lambda bones: fingerprint_of_mask(mask_skeleton(bones)), SHAPES_KEPT)
_by_zeroed: Final[Recent[bytes, str]] = Recent(lambda zeroed: _by_skeleton[skeleton(zeroed)], SHAPES_KEPT)
