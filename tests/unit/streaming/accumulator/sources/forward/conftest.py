"""Listeners that are closed after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from streaming.accumulator.configuration.plan import Security, Tls
from tests.support.forward_receiver import Receiver


@pytest.fixture
def receivers() -> Iterator[Callable[..., Receiver]]:
    """Makes receivers that are closed after the test."""
    made: list[Receiver] = []

    def make(*, tls: Tls | None = None, security: Security | None = None) -> Receiver:
        made.append(Receiver(tls=tls, security=security))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def receiver(receivers: Callable[[], Receiver]) -> Receiver:
    """One without TLS and handshake."""
    return receivers()
