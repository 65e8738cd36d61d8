"""A headless Chromium: Debian's, or Playwright's own where that is installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

QUIET = (
    "--no-sandbox",  # as root there is none
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Started once for a file of tests, and ended with it: while it is there, no test of its process can run an event
    loop. A test opens pages of its own. Skips where there is no Chromium (`scripts/install-browser.sh`)."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = next(filter(None, map(shutil.which, NAMES)), own if Path(own).exists() else None)
        if found is None:
            pytest.skip("no Chromium here; `sh scripts/install-browser.sh` installs Debian's")
        started = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield started
        started.close()
