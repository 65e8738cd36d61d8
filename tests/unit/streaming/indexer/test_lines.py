"""What is remembered of classes is bounded, whatever services call themselves, and right whether remembered or not."""

from __future__ import annotations

import pytest

from streaming.indexer import lines
from streaming.indexer.lines import Lines
from streaming.retention.classes import Class, Retention, Version, date_of

TODAY = 20_781  # 2026-11-24
CLASSES = (Class("pay", 90, services=("pay*",)), Class("short", 3, levels=("DEBUG",)))
RETENTION = Retention(30, [Version(date_of(TODAY - 100), CLASSES)])


@pytest.fixture
def made() -> Lines:
    found = Lines("vigil", RETENTION)
    found.turn_to(TODAY)
    return found


def test_services_without_end_take_no_memory_without_end(made: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_ROUTES", 8)
    day = made.of(TODAY)
    assert day.routes is not None
    for number in range(50):
        assert "-pay-" in (day.of("INFO", f"pay{number}") or "")
        assert "-short-" in (day.of("DEBUG", f"order{number}" * 200) or "")
        assert len(day.routes) <= 8
    assert all(len(service) <= lines.LONGEST_NAME for _, service in day.routes)


def test_each_class_expires_by_its_own_days(made: Lines) -> None:
    old = made.of(TODAY - 31)
    assert [old.of(level, service) is None for level, service in (("INFO", "pay"), ("DEBUG", "x"), ("INFO", "x"))] == [
        *(False, True, True)
    ]
    made.renew(Retention(60))
    assert "-default-" in (made.of(TODAY - 31).of("INFO", "pay") or "")
    made.turn_to(TODAY + 30)
    assert made.of(TODAY - 31).of("INFO", "pay") is None


def test_without_classes_nothing_is_looked_up() -> None:
    found = Lines("vigil", Retention(30))
    found.turn_to(TODAY)
    assert found.of(TODAY).routes is None
    assert found.is_kept("vigil-logs-default-2026.10.25")
    assert not found.is_kept("vigil-logs-default-2026.10.24")
    assert found.is_kept("an-index-of-somebody-else")
