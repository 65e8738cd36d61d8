"""Backtests that were made, on this machine: `HOME/reports/backtests/TIME-VERSION/`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from streaming import decoding
from streaming.alerting.rehearsal.summary import Summary
from streaming.alerting.rules.ruleset import RuleSet
from streaming.errors import ConfigError
from streaming.files import write_whole
from streaming.settings import Settings

JSON = "backtest.json"

KEPT = 100
"""The latest; each some 100 KB."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One backtest, with the rules that were tried."""

    at_ms: int
    rules: str
    """The rule set, as `RuleSet.encode` writes it."""
    summary: Summary
    compared_with: str | None
    """Version of the rule set that the same logs were tried with."""


def keep(settings: Settings, found: Kept, files: Mapping[str, bytes]) -> Path:
    """Writes it and what was made of it; returns their folder. The oldest beyond `KEPT` are removed.

    Raises:
        ConfigError: the disk does not take it.
    """
    at = datetime.fromtimestamp(found.at_ms / 1000, UTC)
    folder = _root(settings) / f"{at:%Y-%m-%dT%H%M%SZ}-{found.summary.rules_version}"
    for name, content in {**files, JSON: msgspec.json.encode(found)}.items():
        write_whole(folder / name, content, folder_mode=0o700)
    for old in _folders(settings)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def latest(settings: Settings, *, but: str = "") -> Kept | None:
    """The latest that can be read, of another rule set than the version `but`; None where there is none."""
    for folder in _folders(settings):
        with suppress(OSError, msgspec.MsgspecError):
            found = decoding.decode((folder / JSON).read_bytes(), Kept)
            if found.summary.rules_version != but:
                return found
    return None


def rules_of(kept: Kept) -> RuleSet | None:
    """Its rule set; None where it was written by a version of Vigil that knew other rules."""
    try:
        return RuleSet.decode(kept.rules.encode())
    except ConfigError:
        return None


def _root(settings: Settings) -> Path:
    return settings.home / "reports" / "backtests"


def _folders(settings: Settings) -> list[Path]:
    """The latest first."""
    return sorted((one for one in _root(settings).glob("*-*") if one.is_dir()), reverse=True)
