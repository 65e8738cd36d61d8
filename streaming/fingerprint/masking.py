"""Masks what varies in a message: numbers, identifiers, addresses, paths, times. Pure; no state but caches.

It knows classes of tokens and no system's words. All that varies becomes the one mark `<*>`: two kinds of mark
would part messages that differ in nothing but how a host is written, as address or as name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from streaming.fingerprint.recent import Recent

MARK: Final = "<*>"

HEAD: Final = 1_024
"""Characters of the first line that are looked at, which bounds the work for one message."""

WORDS: Final = 40
"""Words of these that count. A cut by characters alone would part long messages by the length of their values."""

WORDS_KEPT: Final = 16_384
"""In each of two generations: 2 * 16,384 * (about 10 characters of word and of mask, 150 bytes of objects) = 5 MB;
hostile words of HEAD characters would make it 40 MB, so words over `LONG_WORD` are not kept."""

LONG_WORD: Final = 64


def head(message: str) -> str:
    """The part that counts: the first line that is not blank, to its `HEAD`th character, back to the end of a word.

    So all traces of one exception are one shape, whatever their frames. Colours of a terminal are left out.
    """
    message = _first_line(message)
    return _COLOURS.sub("", message) if "\x1b[" in message else message


def _first_line(message: str) -> str:
    if message[:1] <= " ":
        message = message[: 2 * HEAD].lstrip()
    if len(message) > HEAD:
        message = message[: HEAD + 1]
    if "\n" in message:
        message = message[: message.index("\n")]
    if len(message) <= HEAD:
        return message
    end = message.rfind(" ", 0, HEAD)
    return message[: end if end > 0 else HEAD]


_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")


def skeleton(digits_zeroed: bytes) -> bytes:
    """Each run of `0` as one: `2026` and `17` are alike. What is masked is a function of this."""
    if b"00" in digits_zeroed:
        # Long runs first: numbers of up to 32 digits are done after these, and each further round halves a run.
        digits_zeroed = digits_zeroed.replace(b"00000000", b"0").replace(b"0000", b"0").replace(b"00", b"0")
        while b"00" in digits_zeroed:
            digits_zeroed = digits_zeroed.replace(b"00", b"0")
    return digits_zeroed


def zero_digits(text: str) -> bytes:
    """UTF-8 with `0` for each digit: one call of C, and what most messages of one shape have in common."""
    return text.encode("utf-8", "backslashreplace").translate(_ZEROES)


_ZEROES: Final = bytes.maketrans(b"123456789", b"000000000")


def mask(message: str) -> str:
    """The message with `<*>` for all that varies; docs/templates.md says what that is. Never raises.

    The work is bounded by `HEAD`, whatever the message (measured: 0.3 ms at worst).
    """
    return mask_skeleton(skeleton(zero_digits(head(message))))


def mask_skeleton(bones: bytes) -> str:
    """`mask`, from what `skeleton` made of a message's head."""
    words = list(map(_masked_word, bones.decode().split(None, WORDS)[:WORDS]))
    text = " ".join(words)
    if MARK not in text:
        return text
    distinct = set(words)
    if len(distinct) < len(words):
        text = " ".join(_once(words))
    if not _MONTHS.isdisjoint(distinct):
        text = _DATES.sub(MARK, text)
    return _TWICE.sub(MARK, _RUNS.sub(MARK, _UNITS.sub(MARK, text)))


def _once(words: list[str]) -> Iterator[str]:
    """A list of like values is one value, however long: `blk_<*>, blk_<*>, blk_<*>` is `blk_<*>`."""
    last = len(words) - 1
    for at, word in enumerate(words):
        if at == last or MARK not in word or word.rstrip(",") != words[at + 1].rstrip(","):
            yield word


_SHORT_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LONG_MONTHS: Final = (
    *("January", "February", "March", "April", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_MONTHS: Final = frozenset(_SHORT_MONTHS + _LONG_MONTHS)
_MONTH: Final = rf"(?:{'|'.join(sorted(_MONTHS))})"
_WEEKDAY: Final = r"(?:Mon(?:day)?|Tue(?:sday)?|Wed(?:nesday)?|Thu(?:rsday)?|Fri(?:day)?|Sat(?:urday)?|Sun(?:day)?)"
_DATES: Final = re.compile(rf"(?:\b{_WEEKDAY},? )?(?:\b{_MONTH} <\*>|<\*> {_MONTH}\b),?", re.ASCII)

_UNITS: Final = re.compile(
    r"<\*> ?(?:[kKMGTP]i?[Bb](?:ytes?|/s)?|B|[bB]ytes?|[num]s|msecs?|s|secs?|mins?|hrs?|h"
    r"|(?:milli|micro|nano)?seconds?|minutes?|hours?|days?|%"
    r"|[AP]M(?: (?:UTC|GMT|[ECMP][SD]T))?|UTC|GMT|[ECMP][SD]T)(?![A-Za-z0-9_])"
)
"""A size, a duration or a time with its unit or zone: 900 B and 1.2 KB are said by the same statement."""

_RUNS: Final = re.compile(r"<\*>(?:(?:, ?|[:/.+ -])?<\*>)+")
"""Date and time, address and port, a list of numbers: values with nothing between them are one value."""


_TWICE: Final = re.compile(r"<\*> \(<\*>\)")
"""A value and the same in other words: `1234 bytes (1.2 KB)`, `10.0.0.7 (a.example.org)`, `10.0.0.7 ()`."""

_EMPTY: Final = {"()": f"({MARK})", "[]": f"[{MARK}]", "{}": f"{{{MARK}}}", '""': f'"{MARK}"', "''": f"'{MARK}'"}
"""A value that happens to be empty; `main()` is another word."""

_PLAIN: Final = re.compile(r"""[^0/@:."'\\]+""")
"""Nothing in it could be masked."""

_NUMBERS: Final = re.compile(r"([(\[]*)[<>~]?[+-]?0(?:[.:,/-]0)*([)\],;:.]*)")

_QUOTED: Final = re.compile(r"""((?:[A-Za-z_.-]{1,64}=)?[(\[<{]*(["']))[^"']+(\2[)\]>},;:.]*)""")
"""One word in quotes is a value; a phrase in quotes is masked word by word (`"GET /orders HTTP/1.1"`)."""

_TOP_LEVEL: Final = "com|org|net|edu|gov|mil|int|info|biz|local|localdomain|internal|lan|arpa"

_PART: Final = r"""[^\s"'<>()\[\]{},;:|=/\\@!?&`^~]+"""
_PARTS: Final = re.compile(_PART, re.ASCII)
_VARIABLE: Final = re.compile(
    rf"""
      (?P<url>[A-Za-z][A-Za-z0-9+.-]{{0,30}}://[^\s"'<>()\[\]{{}},;]+)
    | (?P<mail>[A-Za-z0-9._%+-]{{1,64}}@[A-Za-z0-9-]{{1,63}}(?:\.[A-Za-z0-9-]{{1,63}})+)
    | (?P<path>(?<![\w.])(?:[A-Za-z]:\\|~?/|\.{{1,2}}/|\\\\)[^\s"'<>()\[\]{{}},;|]+)
    | (?P<host>(?<![\w.])[a-z][a-z-]{{0,62}}(?:\.[a-z-]{{1,63}}){{2,8}}:0(?!\w))
    | (?P<colons>(?<![\w.])(?:[0-9a-fA-F]{{0,4}}:){{2,7}}[0-9a-fA-F]{{0,4}}(?!\w))
    | (?P<part>{_PART})
    """,
    re.VERBOSE | re.ASCII,
)
_STRUCTURED: Final = re.compile(r"[:/@\\]")

_PREFIX: Final = re.compile(r"[A-Za-z]+(?:[_-][A-Za-z]+)*[_#-]?")
_RANDOM: Final = re.compile(
    r"[0a-f]*[a-f]0[a-f][0a-f]*|[0A-F]*[A-F]0[A-F][0A-F]*|[A-Za-z]*0[A-Za-z]+0[A-Za-z0]*|[0a-fA-F]{1,8}(?:-[0a-fA-F]{1,12}){4}"
)
"""Hexadecimal with letters on both sides of a digit (`f0` is a name with a number), letters and digits that change
twice, UUIDs."""

_CLASS: Final = re.compile(r"(?:[A-Za-z_]\w{0,63}\.){1,16}[A-Z][A-Za-z$]{0,127}", re.ASCII)
_HOST: Final = re.compile(rf"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.(?:{_TOP_LEVEL})")


def _mask_word(word: str) -> str:
    if word.isalpha():
        return word
    if word in _EMPTY:
        return _EMPTY[word]
    if _PLAIN.fullmatch(word):
        return word
    if number := _NUMBERS.fullmatch(word):
        return number[1] + MARK + number[2]
    if quoted := _QUOTED.fullmatch(word):
        return quoted[1] + MARK + quoted[3]
    if _STRUCTURED.search(word):
        return _VARIABLE.sub(_mask_kind, word)
    return _PARTS.sub(_mask_found, word)


def _mask_found(found: re.Match[str]) -> str:
    return _mask_part(found[0])


def _mask_kind(found: re.Match[str]) -> str:
    text, kind = found[0], found.lastgroup
    if kind == "part":
        return _mask_part(text)
    if kind == "colons":
        return MARK if "0" in text else text
    stem = text.rstrip(".:?")
    return MARK + text[len(stem) :] if stem else text


def _mask_part(part: str) -> str:
    """What lies between delimiters: a name with a number keeps its name (`blk_<*>`), other values are masked whole."""
    stem = part.rstrip(".")
    end = part[len(stem) :]
    if "0" not in part:
        return MARK + end if "." in stem and _HOST.fullmatch(stem) else part
    if "." in stem:
        return (stem.replace("0", MARK) if _CLASS.fullmatch(stem) else MARK) + end
    prefix = _PREFIX.match(stem)
    if prefix is None or _RANDOM.fullmatch(stem):
        return MARK + end
    return prefix[0] + MARK + end


_masked_word: Final = Recent(_mask_word, WORDS_KEPT, keep=lambda word: len(word) <= LONG_WORD).__getitem__
