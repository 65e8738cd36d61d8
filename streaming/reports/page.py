"""What a report shows, whatever it is shown on: headings, figures, charts and tables. HTML and PDF show the same."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Cell(msgspec.Struct, frozen=True):
    """`kind`: `text`, `number`, `name` or `log` (both are text of others); `tone`: `bad`, `good`, `dim` or nothing."""

    text: str
    kind: str = "text"
    tone: str = ""


class Table(msgspec.Struct, frozen=True):
    """`wide` is the column that takes what width is left."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    wide: int = 0
    caption: str = ""


class Chart(msgspec.Struct, frozen=True):
    """A picture that explains itself: `svg` needs nothing else; `told` says what it shows in words."""

    title: str
    svg: str
    told: str


class Figure(msgspec.Struct, frozen=True):
    """A figure that is seen first. `about` are remarks with a tone each."""

    name: str
    value: str
    about: list[Cell] = []


class Section(msgspec.Struct, frozen=True):
    """`about` are sentences below the heading; charts stand before tables."""

    id: str
    heading: str
    about: list[str] = []
    charts: list[Chart] = []
    tables: list[Table] = []


class Page(msgspec.Struct, frozen=True):
    """A report."""

    title: str
    subtitle: str
    notes: list[str]
    """What must be known first."""
    figures: list[Figure]
    sections: list[Section]
    footer: list[str]
    """How it was counted."""
