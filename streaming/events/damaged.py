"""Text that is not wholly UTF-8: Latin-1 in the middle of a line, a character cut in two, bytes that a fault flipped.

Such bytes are shown as `\\xe9`. The bytes as they came are kept beside it as base64, so that nothing is lost.
"""

from __future__ import annotations

import base64
import codecs
import re
from typing import Final

LABEL: Final = "vigil_original_base64"
"""Where the bytes are kept, as the accumulator keeps what JSON cannot say under `vigil_original_msgpack`."""

_STRANGE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f\udc80-\udcff]")
"""Control characters other than tab, line ends and escape (colours), and bytes that are not UTF-8."""

_SHARE: Final = 0.25
"""Latin-1 in the most accented of languages is a tenth; UTF-16 is a half, compressed or encrypted bytes are more."""


def is_text(value: bytes) -> bool:
    """Whether most of it can be read: else it is something else, whose place is with the dead letters."""
    return len(_STRANGE.findall(value.decode("utf-8", "surrogateescape"))) <= _SHARE * len(value)


def shown(value: bytes) -> str:
    """The text with each byte that is not UTF-8 as `\\xe9`."""
    return value.decode("utf-8", "backslashreplace")


def shown_in_json(value: bytes) -> str:
    """The same for JSON text, in which a backslash is written twice."""
    return value.decode("utf-8", _ESCAPES)


def whole(value: bytes) -> str:
    """The bytes as base64."""
    return base64.b64encode(value).decode()


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "".join(f"\\\\x{byte:02x}" for byte in error.object[error.start : error.end]), error.end


_ESCAPES: Final = "vigil-json-escapes"
codecs.register_error(_ESCAPES, _escape)
