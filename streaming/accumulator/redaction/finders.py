"""What each kind of rule finds in a text. Pure; every search takes time linear in the text.

A finder is given the text and the name of the field that holds it (None where there is none) and says which parts of
the text are to be replaced. `hint` is a pattern of RE2 that is found wherever the finder finds something, also when the
text stands among other bytes; None where there is no such pattern.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator

from streaming.accumulator.configuration.plan import RedactionRule
from streaming.accumulator.redaction.card_numbers import passes_luhn, rows_in_run
from streaming.linear_regexp import LinearRegexp, Span, from_python, without_assertions


class Finder:
    """One kind of rule."""

    hint: str | None = None

    def find(self, text: bytes, key: bytes | None) -> Iterator[Span]:
        """Parts to be replaced, by where they begin; they may overlap. One at a time: a text may hold millions."""
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

    def find(self, text: bytes, key: bytes | None) -> Iterator[Span]:  # noqa: ARG002
        return (span for span in self._pattern.spans(text) if span[0] < span[1])


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

    def find(self, text: bytes, key: bytes | None) -> Iterator[Span]:
        # A text is looked at for any rule's sake, and a search of RE2 costs a hundred times as much as this.
        return super().find(text, key) if b"@" in text else iter(())


class UrlPassword(Finder):
    """The password of `scheme://user:password@host`. As RFC 3986 has it, it holds none of `/ ? # " < >` and blanks."""

    hint = r'://[^\s/?#:@"<>]*:[^\s/?#"<>]+@'

    def __init__(self) -> None:
        self._pattern = LinearRegexp(r'://[^\s/?#:@"<>]*:([^\s/?#"<>]+)@')

    def find(self, text: bytes, key: bytes | None) -> Iterator[Span]:  # noqa: ARG002
        return self._pattern.spans_of_groups(text) if b"://" in text else iter(())


_SCHEMES = "bearer|basic|token|apikey|api-key|negotiate|ntlm"
_SCHEMES_WITH_PARAMETERS = "digest|hawk|mac|aws4-hmac-sha256|hoba|mutual|vapid"


class Authorization(Finder):
    """Bearer tokens (`Bearer abc..`), and what an Authorization header carries: in a text (`Authorization: Basic abc`),
    or in a field of that name, whatever its case. The name of the scheme stays."""

    hint = r"(?i:bearer[ \t]|authorization)"

    def __init__(self) -> None:
        self._any = LinearRegexp(self.hint)
        self._bearer = LinearRegexp(r"(?i)\bbearer[ \t]+([a-z0-9._~+/=-]+)")
        self._header = LinearRegexp(
            rf"(?i)authorization[\"' \t]*[:=][\"' \t]*"
            rf"(?:(?:{_SCHEMES_WITH_PARAMETERS})[ \t]+([^\r\n]+)|(?:(?:{_SCHEMES})[ \t]+)?([^\s\"',;]+))"
        )
        self._whole = re.compile(
            rb"\s*(?:(?:%b|%b)[ \t]+)?" % (_SCHEMES.encode(), _SCHEMES_WITH_PARAMETERS.encode()), re.IGNORECASE
        )

    def find(self, text: bytes, key: bytes | None) -> Iterator[Span]:
        if key is not None and self.is_for_key(key):
            begin = self._whole.match(text)
            start = begin.end() if begin else 0
            return iter([(start, len(text))] if start < len(text) else [])
        if not self._any.found_in(text):
            return iter(())
        return heapq.merge(self._bearer.spans_of_groups(text), self._header.spans_of_groups(text))

    def is_for_key(self, key: bytes) -> bool:
        return key.lower() in (b"authorization", b"proxy-authorization")


class CardNumber(Finder):
    """13 to 19 digits, in groups parted by one blank or hyphen or in none, that pass the Luhn check (ISO/IEC 7812-1).

    Not within a longer number or a word, nor behind a decimal point: a tenth of all digits pass the check.
    """

    hint = r"[0-9](?:[ -]?[0-9]){12}"

    def __init__(self) -> None:
        self._run = LinearRegexp(r"[0-9](?:[ -]?[0-9]){12,}")

    def find(self, text: bytes, key: bytes | None) -> Iterator[Span]:  # noqa: ARG002
        for run in self._run.spans(text):
            yield from rows_in_run(text, *run)

    def is_number(self, value: int) -> bool:
        """Written as a number, only what begins with 2 to 6 as cards of payment do: times in ms and ns begin with 1."""
        digits = b"%d" % value
        return digits[0] in b"23456" and passes_luhn(digits)
