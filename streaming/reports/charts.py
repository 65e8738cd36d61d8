"""Charts as SVG: plain shapes and text, made to be read at the width of a phone. Pure.

A chart is 400 units wide, with text of 12 units: at 328 pixels that is 10 pixels, on paper 9 points. Colours hold also
without colour: columns are filled, what is compared with is a line, or outlined.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from html import escape

from streaming.reports.shown import harmless

WIDTH = 400
TEXT, DIM, GRID = "#1b1f24", "#57606a", "#d8dee4"
BAD, MAIN, BESIDE = "#b3261e", "#1f5fa8", "#57606a"
FONT = "Source Sans Pro, system-ui, sans-serif"

CHARACTER = 6.4
"""Units that a character of 12 units takes in the middle, with some room; wide ones take twice that."""

Bar = tuple[str, float, float | None]
"""Name, value, and the value it is compared with."""


def columns(
    labels: Sequence[str],
    values: Sequence[float],
    beside: Sequence[float | None],
    *,
    shown: Callable[[float], str],
    names: tuple[str, str],
    colour: str = BAD,
) -> str:
    """Columns over time, and a line of what they are compared with."""
    height, left, right, top, bottom = 190, 44, 14, 26, 24
    most = nice_top(max([*values, *(b for b in beside if b is not None)], default=0))
    step = (WIDTH - left - right) / max(len(values), 1)
    floor = height - bottom

    def y(value: float) -> float:
        return floor - (floor - top) * value / most

    parts = _grid(most, shown, y, left, right)
    for place, value in enumerate(values):
        tall = floor - y(value)
        if value:
            parts.append(
                _rect(left + place * step + step * 0.12, floor - max(tall, 1), step * 0.76, max(tall, 1), colour)
            )
    for run in _runs([(left + (place + 0.5) * step, b) for place, b in enumerate(beside)]):
        points = " ".join(f"{x:.1f},{y(b):.1f}" for x, b in run)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{BESIDE}" stroke-width="1.5" stroke-dasharray="3 2"/>'
        )
    every = _label_every(labels, step)
    parts += [
        _text(left + (place + 0.5) * step, height - 8, label, anchor="middle", colour=DIM)
        for place, label in enumerate(labels)
        if place % every == 0
    ]
    legend = [(names[0], colour, FILLED)] + ([(names[1], BESIDE, LINE)] if any(b is not None for b in beside) else [])
    return _svg(height, [*parts, *_legend(legend, left)])


def lines(
    points: Sequence[tuple[float, Sequence[float]]],
    names: Sequence[str],
    *,
    between: tuple[float, float],
    labels: Sequence[tuple[float, str]],
    shown: Callable[[float], str],
) -> str:
    """Lines over time; `between` is what the axis spans, `labels` what is written below it."""
    height, left, right, top, bottom = 190, 52, 20, 26, 24
    most = nice_top(max((value for _, values in points for value in values), default=0))
    floor, colours = height - bottom, (MAIN, BAD)

    def x(at: float) -> float:
        return left + (WIDTH - left - right) * (at - between[0]) / ((between[1] - between[0]) or 1)

    def y(value: float) -> float:
        return floor - (floor - top) * value / most

    parts = _grid(most, shown, y, left, right)
    for number, colour in zip(range(len(names)), colours, strict=False):
        if len(points) > 1:
            drawn = " ".join(f"{x(at):.1f},{y(values[number]):.1f}" for at, values in points)
            parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts += [f'<circle cx="{x(at):.1f}" cy="{y(v[number]):.1f}" r="2" fill="{colour}"/>' for at, v in points]
    parts += [_text(x(at), height - 8, label, anchor="middle", colour=DIM) for at, label in labels]
    legend = [(name, colour, FILLED) for name, colour in zip(names, colours, strict=False)]
    return _svg(height, [*parts, *_legend(legend, left)])


def bars(rows: Sequence[Bar], *, shown: Callable[[float], str], names: tuple[str, str], colour: str = BAD) -> str:
    """A bar for each row, its name above it, its value behind it; what it is compared with is an outlined bar below."""
    top, row_height, bottom = 24, 40, 6
    height = top + row_height * len(rows) + bottom
    most = max([value for _, value, _ in rows] + [b for _, _, b in rows if b is not None], default=0) or 1
    room = max((_width(shown(value)) for _, value, _ in rows), default=0) + 8
    full = WIDTH - 8 - room
    parts = []
    for place, (name, value, beside) in enumerate(rows):
        y = top + place * row_height
        parts.append(_text(0, y + 11, fitting(name, WIDTH - 4)))
        long = full * value / most
        if value:
            parts.append(_rect(0, y + 15, max(long, 1), 11, colour))
        parts.append(_text(max(long, 0) + 6, y + 25, shown(value)))
        if beside is not None:
            outlined = max(full * beside / most, 1)
            parts.append(
                f'<rect x="0.5" y="{y + 28.5:.1f}" width="{outlined:.1f}" height="5" fill="none" stroke="{BESIDE}"/>'
            )
    legend = [(names[0], colour, FILLED)] + (
        [(names[1], BESIDE, OUTLINE)] if any(r[2] is not None for r in rows) else []
    )
    return _svg(height, [*parts, *_legend(legend, 0)])


def nice_top(value: float) -> float:
    """The end of an axis: a round number that is not less, and at least 1."""
    if value <= 1:
        return 1
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= value)


def fitting(text: str, width: float) -> str:
    """As much of a text as fits, with an ellipsis."""
    taken, fits = 0.0, 0
    for place, character in enumerate(text):
        taken += _width(character)
        if taken > width:
            return text[:fits] + "…"
        if taken + _width("…") <= width:
            fits = place + 1
    return text


def _width(text: str) -> float:
    return sum(CHARACTER * (2 if unicodedata.east_asian_width(c) in "WF" else 1.15 if c.isupper() else 1) for c in text)


def _grid(
    most: float, shown: Callable[[float], str], y: Callable[[float], float], left: float, right: float
) -> list[str]:
    parts = []
    for part in (0, 0.5, 1) if most > 1 else (0, 1):
        at = y(most * part)
        parts.append(f'<line x1="{left}" x2="{WIDTH - right}" y1="{at:.1f}" y2="{at:.1f}" stroke="{GRID}"/>')
        parts.append(_text(left - 5, at + 4, shown(most * part), anchor="end", colour=DIM))
    return parts


FILLED, LINE, OUTLINE = "filled", "line", "outline"
"""Signs of a legend, each as what it stands for is drawn."""


def _legend(names: Sequence[tuple[str, str, str]], left: float) -> list[str]:
    parts, x = [], left
    for name, colour, sign in names:
        if sign == OUTLINE:
            parts.append(f'<rect x="{x + 0.5:.1f}" y="6.5" width="12" height="5" fill="none" stroke="{colour}"/>')
        elif sign == LINE:
            parts.append(
                f'<line x1="{x:.1f}" x2="{x + 12:.1f}" y1="9" y2="9" stroke="{colour}" stroke-width="1.5" '
                'stroke-dasharray="3 2"/>'
            )
        else:
            parts.append(_rect(x, 4, 12, 9, colour))
        parts.append(_text(x + 16, 13, name))
        x += 16 + _width(name) + 14
    return parts


def _label_every(labels: Sequence[str], step: float) -> int:
    """So that labels do not touch: every one, every third, ..."""
    for every in (1, 2, 3, 4, 6, 8, 12):
        if max((_width(label) for label in labels[::every]), default=0) + 8 <= every * step:
            return every
    return max(len(labels), 1)


def _runs(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    """Parts of a line without gaps; a single point is no line."""
    runs: list[list[tuple[float, float]]] = [[]]
    for x, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((x, value))
    return [run for run in runs if len(run) > 1]


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = TEXT) -> str:
    where = f'x="{x:.1f}" y="{y:.1f}" font-size="12" fill="{colour}" text-anchor="{anchor}"'
    return f"<text {where}>{escape(harmless(text))}</text>"


def _svg(height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" font-family="{FONT}" role="img">'
        f"{''.join(parts)}</svg>"
    )
