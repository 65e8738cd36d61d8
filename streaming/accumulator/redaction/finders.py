"""What each kind of rule finds in a text. Pure; every search takes time linear in the text.

A finder is given the text and the name of the field that holds it (None where there is none) and says which parts of
the text are to be replaced. `hint` is a pattern of RE2 that is found wherever the finder finds something, also when the
text stands among other bytes; None where there is no such pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from streaming.accumulator.configuration.plan import RedactionRule
from streaming.accumulator.redaction.linear_regexp import LinearRegexp, Span, from_python, without_assertions


class Finder:
    """One kind of rule."""

    hint: str | None = None

    def find(self, text: bytes, key: bytes | None) -> list[Span]:
        """Parts to be replaced, in any order; they may overlap."""
        raise NotImplementedError

    def is_for_key(self, key: bytes) -> bool:  # noqa: ARG002
        """Whether the value of such a field is looked at even where `hint` is in its key alone."""
        return False

    def is_number(self, value: int) -> bool:  # noqa: ARG002
        """Whether a whole number of 13 to 19 digits is to be replaced."""
        return False


def finder_of(rule: RedactionRule) -> Finder:
    """The finder that a rule of the configuration asks for.

    Raises:
        ConfigError: its pattern cannot be searched in linear time, or takes the empty text.
    """
    if rule.kind == "pattern":
        return _own(rule)
    return {"card": CardNumber, "email": Email, "bearer": Authorization, "url_password": UrlPassword}[rule.kind]()


class _Plain(Finder):
    """Finds a pattern."""

    def __init__(self, source: str) -> None:
        self._pattern = LinearRegexp(source)
        self.hint = _hint(source)

    def find(self, text: bytes, key: bytes | None) -> list[Span]:  # noqa: ARG002
        return [span for span in self._pattern.spans(text) if span[0] < span[1]]


def _hint(source: str) -> str | None:
    try:
        bare = without_assertions(source)
        return None if LinearRegexp(bare).found_in(b"") else bare
    except ValueError:
        return None


def _own(rule: RedactionRule) -> Finder:
    assert rule.pattern is not None
    try:
        source = from_python(rule.pattern)
        found = _Plain(source)
    except ValueError as error:
        raise rule.place.error(
            f"{rule.pattern.pattern!r} cannot be searched in linear time: {error}",
            name="pattern",
            remedy="Look-around, back-references, atomic groups and possessive repeats are not possible here",
        ) from error
    if LinearRegexp(source).found_in(b""):
        raise rule.place.error(f"{rule.pattern.pattern!r} takes the empty text too", name="pattern")
    return found


# ------------------------------------------------------------------------------------------------ kinds


class Email(_Plain):
    """Addresses `name@domain.top`, also with letters of other scripts."""

    def __init__(self) -> None:
        super().__init__(r"[\pL\pN._%+'-]+@(?:[\pL\pN](?:[\pL\pN-]*[\pL\pN])?\.)+\pL{2,}")


class UrlPassword(Finder):
    """The password of `scheme://user:password@host`. As RFC 3986 has it, it holds none of `/ ? # " < >` and blanks."""

    hint = r'://[^\s/?#:@"<>]*:[^\s/?#"<>]+@'

    def __init__(self) -> None:
        self._pattern = LinearRegexp(r'://[^\s/?#:@"<>]*:([^\s/?#"<>]+)@')

    def find(self, text: bytes, key: bytes | None) -> list[Span]:  # noqa: ARG002
        return list(self._pattern.spans_of_groups(text))


_SCHEMES = "bearer|basic|token|apikey|api-key|negotiate|ntlm"
_SCHEMES_WITH_PARAMETERS = "digest|hawk|mac|aws4-hmac-sha256|hoba|mutual|vapid"


class Authorization(Finder):
    """Bearer tokens (`Bearer abc..`), and what an Authorization header carries: in a text (`Authorization: Basic abc`),
    or in a field of that name, whatever its case. The name of the scheme stays."""

    hint = r"(?i:bearer[ \t]|authorization)"

    def __init__(self) -> None:
        self._bearer = LinearRegexp(r"(?i)\bbearer[ \t]+([a-z0-9._~+/=-]+)")
        self._header = LinearRegexp(
            rf"(?i)authorization[\"' \t]*[:=][\"' \t]*"
            rf"(?:(?:{_SCHEMES_WITH_PARAMETERS})[ \t]+([^\r\n]+)|(?:(?:{_SCHEMES})[ \t]+)?([^\s\"',;]+))"
        )
        self._whole = re.compile(
            rb"\s*(?:(?:%b|%b)[ \t]+)?" % (_SCHEMES.encode(), _SCHEMES_WITH_PARAMETERS.encode()), re.IGNORECASE
        )

    def find(self, text: bytes, key: bytes | None) -> list[Span]:
        if key is not None and self.is_for_key(key):
            begin = self._whole.match(text)
            start = begin.end() if begin else 0
            return [(start, len(text))] if start < len(text) else []
        return [*self._bearer.spans_of_groups(text), *self._header.spans_of_groups(text)]

    def is_for_key(self, key: bytes) -> bool:
        return key.lower() in (b"authorization", b"proxy-authorization")


class CardNumber(Finder):
    """13 to 19 digits, in groups parted by one blank or hyphen or in none, that pass the Luhn check (ISO/IEC 7812-1).

    Not within a longer number or a word, nor behind a decimal point: a tenth of all digits pass the check.
    """

    hint = r"[0-9](?:[ -]?[0-9]){12}"

    def __init__(self) -> None:
        self._run = LinearRegexp(r"[0-9](?:[ -]?[0-9]){12,}")
        self._group = re.compile(rb"[0-9]+")

    def find(self, text: bytes, key: bytes | None) -> list[Span]:  # noqa: ARG002
        return [span for run in self._run.spans(text) for span in self._in_run(text, *run)]

    def is_number(self, value: int) -> bool:
        """Written as a number, only what begins with 2 to 6 as cards of payment do: times in ms and ns begin with 1."""
        digits = b"%d" % value
        return digits[0] in b"23456" and _LuhnSums(digits).valid(0, len(digits))

    def _in_run(self, text: bytes, start: int, end: int) -> Iterable[Span]:
        """Every row of whole groups of a run that is a card number."""
        groups = [m.span() for m in self._group.finditer(text, start, end)]
        sums = _LuhnSums(text[start:end])
        ends = [0]
        for a, b in groups:
            ends.append(ends[-1] + b - a)
        for first, (begin, _) in enumerate(groups):
            if first == 0 and not _may_begin(text, begin):
                continue
            for last in range(first, len(groups)):
                digits = ends[last + 1] - ends[first]
                if digits > 19:
                    break
                stop = groups[last][1]
                if digits >= 13 and sums.valid(ends[first], ends[last + 1]) and _may_end(text, stop):
                    yield begin, stop


def _may_begin(text: bytes, at: int) -> bool:
    before = text[max(at - 2, 0) : at]
    return not (before[-1:].isalpha() or (before[-1:] == b"." and before[:-1].isdigit()))


def _may_end(text: bytes, at: int) -> bool:
    return not text[at : at + 1].isalnum()


class _LuhnSums:
    """Sums of Luhn's check of all rows of a run's digits, each in constant time: a run may have a million digits."""

    _DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

    def __init__(self, run: bytes) -> None:
        # Of the digits up to each; doubled are those at even places in the one, at odd places in the other.
        even, odd = [0], [0]
        for place, digit in enumerate(byte - 0x30 for byte in run if 0x30 <= byte <= 0x39):
            doubled = self._DOUBLED[digit]
            even.append(even[-1] + (digit if place % 2 else doubled))
            odd.append(odd[-1] + (doubled if place % 2 else digit))
        self._sums = (even, odd)

    def valid(self, first: int, end: int) -> bool:
        """Whether the digits from `first` to before `end` pass: the last but one is doubled, and every other before."""
        sums = self._sums[end % 2]
        return (sums[end] - sums[first]) % 10 == 0
