"""What all tests of infra here have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import pytest


class Lends(Protocol):
    """Ports, as `tests/integration/conftest.py` gives them."""

    def lent(self) -> AbstractContextManager[None]: ...


@pytest.fixture(autouse=True)
def ports_are_given_back(free_port: Lends) -> Iterator[None]:
    """Tests of VirtualBox alone would take some thousand, and scatter them so that no block is left for servers."""
    with free_port.lent():
        yield
