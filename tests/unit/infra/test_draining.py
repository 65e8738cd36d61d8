"""Workers are waited for until they have read everything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra import draining
from infra.draining import await_read
from streaming.errors import Unavailable
from streaming.pipeline.health import Measurement, Place, Reading
from streaming.settings import Settings


def measured(**lags: int) -> Measurement:
    workers = {
        name.replace("_", "-"): {Place("logs", 0): Reading(1, lag, None), Place("logs", 1): Reading(1, 0, None)}
        for name, lag in lags.items()
    }
    return Measurement(0, 0, workers, 0, 0)


@pytest.fixture
def measurements(monkeypatch: pytest.MonkeyPatch) -> list[Measurement]:
    """What will be measured; the last one goes on."""
    found: list[Measurement] = []

    def each() -> Iterator[Measurement]:
        yield from found
        while True:
            yield found[-1]

    class Fake:
        def __init__(self, settings: Settings) -> None:
            self.measure = each().__next__

        def close(self) -> None: ...

    monkeypatch.setattr(draining, "Measuring", Fake)
    monkeypatch.setattr(draining, "LOOKS_EVERY_S", 0.0)
    return found


def test_what_is_left_is_told_once_until_nothing_is(settings: Settings, measurements: list[Measurement]) -> None:
    measurements += [measured(indexer=5, matcher=0), measured(indexer=5, matcher=0), measured(indexer=1, manager=2)]
    measurements.append(measured(indexer=0, heartbeat_monitor=9))
    said: list[str] = []
    await_read(settings, 60, said.append)
    assert said == [
        "records left to read: indexer 5",
        "records left to read: indexer 1, manager 2",
        "everything in Kafka was read",
    ]


def test_what_does_not_end_is_an_error_that_names_it(settings: Settings, measurements: list[Measurement]) -> None:
    measurements.append(measured(notifier=3))
    with pytest.raises(Unavailable, match=r"still something to read: notifier 3.* without draining"):
        await_read(settings, -1, print)
