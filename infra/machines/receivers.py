"""Secrets of receivers, which rule files name by variables: taken from the environment of who deploys, kept by the
deployment, and given to its notifiers as credentials of those names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from streaming.alerting.rules.loading import load_texts
from streaming.alerting.rules.routes import Secret
from streaming.errors import ConfigError
from streaming.settings import Settings

_OF_SETTINGS = {"SLACK_BOT_TOKEN": "slack_bot_token", "SLACK_APP_TOKEN": "slack_app_token"}
"""Variables that are settings too, which may have them from another place."""


def variables(rules: Mapping[str, str]) -> frozenset[str] | None:
    """The variables that rule files name; None where the files are no rules, so that nobody knows.

    Args:
        rules: their texts, by their paths below the folder of rules.
    """
    files = [(Path(name), text) for name, text in rules.items() if name.endswith((".yaml", ".yml"))]
    try:
        return frozenset(one.env for one in _secrets(load_texts(files)) if one.env is not None)
    except ConfigError:
        return None


def found(names: frozenset[str], settings: Settings) -> dict[str, str]:
    """Those that this process has: in its environment, or in its settings."""
    values = {name: os.environ.get(name, "") or _of_settings(name, settings) for name in sorted(names)}
    return {name: value for name, value in values.items() if value}


def _of_settings(name: str, settings: Settings) -> str:
    field = _OF_SETTINGS.get(name)
    return str(getattr(settings, field).get_secret_value()) if field else ""


def _secrets(value: object) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, BaseModel):
        for _, part in value:
            yield from _secrets(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _secrets(part)
    elif isinstance(value, dict):
        yield from _secrets(tuple(value.values()))
