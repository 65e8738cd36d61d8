"""What a report looks like: log texts are shown, never read; the numbers come back as they were stored."""

from __future__ import annotations

import re
from datetime import date
from html.parser import HTMLParser
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.reports import charts
from streaming.reports.model import VERSION, Report, decode, encode
from streaming.reports.period import Kind
from streaming.reports.rendering import html_of, pdf_of, picture_of
from streaming.reports.shown import log_text, whole
from streaming.reports.view import page_of, summary
from tests.support.reports import HOSTILE, hostile_report, sample_report

REPORTS = [
    sample_report(),
    sample_report(Kind.WEEKLY, "Australia/Lord_Howe", date(2026, 4, 1)),
]


class Reader(HTMLParser):
    """Notes which elements and attributes there are, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


@pytest.mark.parametrize("report", REPORTS, ids=["day", "week"])
def test_a_report_comes_back_as_it_was_stored(report: Report) -> None:
    assert decode(encode(report)) == report
    assert decode(encode(msgspec.structs.replace(report, version=VERSION + 1))) is None
    assert decode(b"{}") is None
    assert decode(b"\xff") is None


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_shown_and_never_read(text: str) -> None:
    plain, written = html_of(page_of(REPORTS[0])), html_of(page_of(hostile_report(REPORTS[0], text)))
    before, after = read(plain), read(written)
    assert (after.elements, after.attributes) == (before.elements, before.attributes)
    assert log_text(text.encode("utf-8", "replace").decode()) in after.text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", written)


def test_hostile_text_is_set_on_paper_and_in_the_picture() -> None:
    together = " ".join(HOSTILE[:6])
    for text in (together, *HOSTILE[6:]):
        page = page_of(hostile_report(REPORTS[0], text))
        assert pdf_of(page).startswith(b"%PDF-")
    assert picture_of(page).startswith(b"\x89PNG")


def test_the_file_needs_nothing_else() -> None:
    html = html_of(page_of(REPORTS[0]))
    assert not re.search(r"""(\ssrc=|href|url\(|@import)""", html)
    assert "default-src 'none'" in html
    assert "script" not in read(html).elements


@pytest.mark.parametrize("report", REPORTS, ids=["day", "week"])
def test_what_is_said_agrees_with_the_numbers(report: Report) -> None:
    html, said = read(html_of(page_of(report))).text, summary(report)
    errors = whole(report.total.now.errors)
    assert errors in html
    assert f"Errors: {errors}" in said
    assert report.period.title in html
    assert ("25 hours" in html) == (report.period.kind is Kind.DAILY)
    assert ("last Sunday" in html) == (report.period.kind is Kind.DAILY)


def test_a_report_of_nothing_is_a_report() -> None:
    raw = msgspec.to_builtins(sample_report())
    for name in ("levels", "slots", "services", "nodes_with_errors", "volume"):
        raw[name] = []
    for name in ("templates", "incidents", "nodes", "pipeline"):
        raw[name] = {}
    raw["total"] = {"name": "all", "now": {}}
    raw["correction"] = None
    page = page_of(msgspec.convert(raw, Report))
    text = read(html_of(page)).text
    for said in (
        "No incident was opened.",
        "no audit in this period",
        "There were no errors.",
        "nothing to compare with",
    ):
        assert said in text
    assert pdf_of(page)
    assert picture_of(page)


@given(
    values=st.lists(st.floats(0, 1e12), min_size=1, max_size=25),
    labels=st.lists(st.text(max_size=20), min_size=25, max_size=25),
)
def test_charts_are_xml_within_their_bounds(values: list[float], labels: list[str]) -> None:
    labels = [log_text(label) for label in labels]
    beside = [None if n % 5 == 4 else value / 2 for n, value in enumerate(values)]
    names = ("errors", "day before")
    drawn = [
        charts.columns(labels[: len(values)], values, beside, shown=whole, names=names),
        charts.bars(list(zip(labels, values, beside, strict=False)), shown=whole, names=names),
        charts.lines(
            [(n, (value / 3, value)) for n, value in enumerate(values)],
            names,
            between=(0, len(values)),
            labels=[],
            shown=whole,
        ),
    ]
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        height = float(root.attrib["viewBox"].split()[3])
        for rect in root.iter("{http://www.w3.org/2000/svg}rect"):
            x, y, wide, tall = (float(rect.attrib[name]) for name in ("x", "y", "width", "height"))
            assert x >= 0 <= y
            assert x + wide <= charts.WIDTH + 0.1
            assert y + tall <= height + 0.1


@given(value=st.floats(0, 1e15))
def test_an_axis_ends_at_a_round_number_that_is_not_less(value: float) -> None:
    top = charts.nice_top(value)
    assert max(value, 1) <= top <= max(2 * value, 1)


def test_long_names_are_cut_to_fit() -> None:
    assert charts.fitting("short", 100) == "short"
    assert charts.fitting("x" * 100, 100).endswith("…")
    assert len(charts.fitting("日" * 100, 100)) < len(charts.fitting("x" * 100, 100))
