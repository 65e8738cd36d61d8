"""Elasticsearch alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streaming.elastic.connection import Connection
from streaming.settings import Settings


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """No Kafka."""
    return ("elasticsearch",)


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    """To the real server."""
    made = Connection(settings.elastic)
    yield made
    made.close()
