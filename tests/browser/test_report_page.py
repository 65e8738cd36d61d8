"""A report as a browser shows it: at a desk, on a phone of 360 pixels, and in print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from streaming.reports.model import Report
from streaming.reports.period import Kind
from streaming.reports.rendering import html_of
from streaming.reports.view import page_of
from tests.support.reports import HOSTILE, hostile_report, sample_report

DESK, PHONE, PAPER = (1280, 900), (360, 740), (688, 1000)
"""Paper: 210 mm less two margins of 14 mm, at 96 pixels an inch."""

REPORTS = {
    "day": sample_report(),
    "week": sample_report(Kind.WEEKLY, "America/New_York", date(2026, 11, 1)),
    "hostile": hostile_report(sample_report(), "".join(text for text in HOSTILE if "\ud800" not in text)),
}

OVERLAPS = """() => {
    const boxes = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode;
        if (!node.data.trim() || node.parentElement.closest("thead, style")) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        for (const box of range.getClientRects())
            if (box.width > 1 && box.height > 1) boxes.push({node, box});
    }
    const found = [];
    boxes.sort((one, other) => one.box.top - other.box.top);
    for (let i = 0; i < boxes.length; i++)
        for (let j = i + 1; j < boxes.length && boxes[j].box.top < boxes[i].box.bottom; j++) {
            const a = boxes[i].box, b = boxes[j].box;
            const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            // Lines of one text may touch; letters do not fill their boxes.
            if (boxes[i].node !== boxes[j].node && wide > 1 && high > 4)
                found.push(boxes[i].node.data + " | " + boxes[j].node.data);
        }
    return found;
}"""

BEYOND = """() => [...document.querySelectorAll("body *")]
    .filter(e => !e.closest("thead") && !e.closest("svg"))
    .filter(e => { const box = e.getBoundingClientRect(); return box.right > innerWidth + 0.5 || box.left < -0.5; })
    .map(e => e.tagName + " " + e.textContent.slice(0, 60))"""

CHARTS = """() => [...document.querySelectorAll("svg")].map(svg => {
    const box = svg.getBoundingClientRect();
    const marks = [...svg.querySelectorAll("rect, polyline, circle")].map(m => m.getBBox());
    const out = [...svg.querySelectorAll("text")].filter(t => {
        const text = t.getBoundingClientRect();
        return text.right > box.right + 1 || text.left < box.left - 1 || text.bottom > box.bottom + 1;
    });
    return {
        label: svg.getAttribute("aria-label"), width: box.width, height: box.height,
        drawn: marks.filter(m => m.width > 0 || m.height > 0).length, cut: out.map(t => t.textContent),
        size: Math.min(...[...svg.querySelectorAll("text")].map(t => t.getBoundingClientRect().height)),
    };
})"""

Shown = Callable[[str, tuple[int, int]], Page]


@pytest.fixture
def shown(browser: Browser, tmp_path: Path) -> Iterator[Shown]:
    """Opens a report in a window of a size; fails if it asks for anything, or anything goes wrong in it."""
    complaints: list[str] = []
    context = browser.new_context()

    def show(name: str, size: tuple[int, int]) -> Page:
        file = tmp_path / f"{name}.html"
        report: Report = REPORTS[name]
        file.write_text(html_of(page_of(report)), encoding="utf-8")
        page = context.new_page()
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: complaints.append(request.url) if request.url != file.as_uri() else None)
        page.goto(file.as_uri())
        return page

    yield show
    context.close()
    assert complaints == []


@pytest.mark.parametrize("name", REPORTS)
def test_charts_are_drawn_and_nothing_overlaps_or_is_cut(shown: Shown, name: str) -> None:
    page = shown(name, DESK)
    looks_right(page, DESK)
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    looks_right(page, PHONE)
    page.set_viewport_size({"width": PAPER[0], "height": PAPER[1]})
    page.emulate_media(media="print")
    looks_right(page, PAPER)


def looks_right(page: Page, size: tuple[int, int]) -> None:
    charts: list[dict[str, Any]] = page.evaluate(CHARTS)
    assert len(charts) == 5
    for chart in charts:
        assert chart["width"] > 250, chart
        assert chart["height"] > 100, chart
        assert chart["drawn"] >= 6, chart
        assert chart["cut"] == [], chart
        assert chart["size"] > 8, chart
        assert chart["label"]
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert page.evaluate(BEYOND) == []
    assert page.evaluate(OVERLAPS) == []


def test_it_is_dark_on_light_and_large_enough_to_read(shown: Shown) -> None:
    page = shown("day", PHONE)
    colours: list[list[str]] = page.evaluate(
        """() => [...document.querySelectorAll("p, td, th, small, span, h1, h2, text")].map(e => {
            const style = getComputedStyle(e);
            return [e.tagName === "text" ? style.fill : style.color, style.fontSize];
        })"""
    )
    for colour, size in colours:
        assert contrast_on_white(colour) >= 4.5, colour  # WCAG 2, AA
        assert float(size.removesuffix("px")) >= 11, size
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_it_prints_on_whole_pages(shown: Shown, tmp_path: Path) -> None:
    page = shown("day", DESK)
    printed = page.pdf(prefer_css_page_size=True)
    assert printed.startswith(b"%PDF-")
    assert 3 <= printed.count(b"/Type /Page\n") <= 12


def contrast_on_white(colour: str) -> float:
    red, green, blue = (int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(","))

    def linear(part: float) -> float:
        return part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4

    return 1.05 / (0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue) + 0.05)
