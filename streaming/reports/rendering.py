"""Renders the page of a report: HTML in one file, PDF, and a picture. Log texts are data in all three, never markup."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec
from jinja2 import Environment, FileSystemLoader, Template, select_autoescape
from markupsafe import Markup

from streaming.reports.model import Report
from streaming.reports.page import Chart, Page
from streaming.reports.store import HTML, PDF, PICTURE
from streaming.reports.view import page_of

PAGES = Path(__file__).parent / "pages"

PICTURE_PPI = 144
"""640 points wide: 1,280 pixels."""


def rendered(report: Report) -> dict[str, bytes]:
    """The files of a report by name, but for its numbers."""
    page = page_of(report)
    return {HTML: html_of(page).encode(), PDF: pdf_of(page), PICTURE: picture_of(page)}


def html_of(page: Page) -> str:
    """One file that needs nothing else: no script, no font, no picture is fetched, and the browser is told so."""
    return _template().render(page=page, svg=_svg)


def pdf_of(page: Page) -> bytes:
    """A4, with all that the HTML shows."""
    return _typeset(page, "paper", "pdf")[0]


def picture_of(page: Page) -> bytes:
    """PNG of what is seen first: figures, and the first charts."""
    first = [msgspec.structs.replace(section, charts=section.charts[:1]) for section in page.sections if section.charts]
    picked = [section for section in first if section.id in ("time", "services")]
    return _typeset(msgspec.structs.replace(page, sections=picked, footer=[]), "picture", "png")[0]


def _typeset(page: Page, form: str, kind: Literal["pdf", "png"]) -> list[bytes]:
    # The compiler takes 50 MB, which who builds no report need not spend.
    import font_source_sans_pro
    import typst

    data = msgspec.json.encode(page).decode()
    made: bytes | list[bytes] = typst.compile(  # its types do not tell of the list, one for each page, that PNG gives
        PAGES / "report.typ",
        format=kind,
        ppi=PICTURE_PPI,
        sys_inputs={"page": data, "form": form},
        font_paths=[Path(font_source_sans_pro.font_directory)],
    )
    return made if isinstance(made, list) else [made]


def _svg(chart: Chart) -> Markup:
    """Charts are made by Vigil, and the texts in them are escaped there; their description is escaped here."""
    described = Markup('<svg aria-label="{}"').format(chart.told)
    return Markup(chart.svg.replace("<svg", described, 1))  # noqa: S704


@lru_cache(maxsize=1)
def _template() -> Template:
    loader = FileSystemLoader(PAGES)
    return Environment(loader=loader, autoescape=select_autoescape(default=True), trim_blocks=False).get_template(
        "report.html"
    )
