"""Numbers, times and changes as people read them. Pure."""

from __future__ import annotations

import unicodedata

from streaming.reports.model import Tally

MINUS = "−"
NBSP = "\N{NO-BREAK SPACE}"
NONE = "–"

LINE_CHARACTERS = 400
"""Of a log text in a report."""


def whole(number: float) -> str:
    """`12,345`."""
    return f"{round(number):,}".replace("-", MINUS)


def many(number: int, one: str, several: str = "") -> str:
    """`1 log`, `2 logs`."""
    return f"{whole(number)} {one if number == 1 else several or one + 's'}"


def share(part: float | None) -> str:
    """`3.1 %`; what is not quite nothing or all does not look so."""
    if part is None:
        return NONE
    if 0 < part < 0.0001:
        return "< 0.01 %"
    if 0.9999 < part < 1:
        return "> 99.99 %"
    value = part * 100
    return f"{value:.0f} %" if part in (0, 1) else f"{value:.2f} %" if value < 10 or value > 99 else f"{value:.1f} %"


def change(now: int, before: int | None) -> str:
    """By how much it rose: `+12 (+40 %)`; where nothing is known of before, a dash."""
    if before is None:
        return NONE
    difference = now - before
    if not difference:
        return "±0"
    sign = "+" if difference > 0 else MINUS
    if not before:
        return f"{sign}{abs(difference):,}"
    percent = abs(difference) / before * 100
    if percent >= 1_000:
        return f"{sign}{abs(difference):,} (×{now / before:,.0f})"
    return f"{sign}{abs(difference):,} ({sign}{percent:.0f}{NBSP}%)" if percent >= 1 else f"{sign}{abs(difference):,}"


def tone(now: float, before: float | None) -> str:
    """Of a change of what should be few: `bad`, `good` or nothing."""
    if before is None or abs(now - before) < 0.000_05:
        return ""  # a ratio that is shown as the same
    return "bad" if now > before else "good"


def ratio_change(now: Tally, before: Tally | None) -> str:
    """Of the error ratio, in percentage points."""
    if before is None or now.ratio is None or before.ratio is None:
        return NONE
    points = (now.ratio - before.ratio) * 100
    if abs(points) < 0.005:
        return "±0"
    return f"{'+' if points > 0 else MINUS}{abs(points):.2f} points"


def size(count: float) -> str:
    """Bytes, in powers of ten as disks and prices have them."""
    for limit, divisor, unit in ((1e3, 1, "B"), (1e6, 1e3, "kB"), (1e9, 1e6, "MB"), (1e12, 1e9, "GB")):
        if count < limit:
            return f"{count / divisor:.0f} {unit}" if unit == "B" else f"{count / divisor:.1f} {unit}"
    return f"{count / 1e12:,.1f} TB"


def length(milliseconds: float) -> str:
    """A length of time: `240 ms`, `42 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`."""
    if milliseconds < 1_000:
        return f"{milliseconds:.0f} ms"
    seconds = round(milliseconds / 1000)
    if seconds < 60:
        return f"{milliseconds / 1000:.1f} s" if milliseconds < 10_000 else f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds:02d} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h"


def money(amount: float | None, currency: str) -> str:
    """`12.30 EUR`."""
    if amount is None:
        return NONE
    digits = f"{amount:,.2f}" if amount >= 0.01 or not amount else f"{amount:.4f}"
    return f"{digits} {currency}".rstrip()


def harmless(text: str) -> str:
    """In one line and without characters that change how the rest is read: control characters, marks of direction,
    halves of characters. It still has to be escaped for where it is shown."""
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


def log_text(text: str) -> str:
    """What others wrote: harmless, and cut to a length that a table bears."""
    shown = harmless(text[: LINE_CHARACTERS + 1])
    return shown[: LINE_CHARACTERS - 1] + "…" if len(shown) > LINE_CHARACTERS else shown


def _shown(character: str) -> str:
    if character in "\t\n\r":
        return " "
    # Cc: control, Cf: format (bidirectional overrides), Cs: lone surrogates, Co, Cn: no character for everybody.
    return "�" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") else character
