from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.events.levels import Scale, level_of
from streaming.events.model import Level

NAMES = {
    Level.TRACE: ["trace", "VERBOSE", "finest", "FINER", "vrb"],
    Level.DEBUG: ["debug", "Debug", "FINE", "DBG", "DEBUG4"],
    Level.INFO: ["INFO", "info", "Information", "notice", "INFO2"],
    Level.WARN: ["warn", "WARNING", "Warning", " warn "],
    Level.ERROR: ["error", "ERR", "SEVERE", "error3"],
    Level.FATAL: ["FATAL", "critical", "CRIT", "alert", "EMERG", "Emergency", "panic"],
}


@pytest.mark.parametrize(("name", "level"), [(name, level) for level, names in NAMES.items() for name in names])
def test_names_in_any_case(name: str, level: Level) -> None:
    assert level_of(name) is level


@pytest.mark.parametrize(
    ("number", "scale", "level"),
    [
        (0, Scale.SYSLOG, Level.FATAL),
        (2, Scale.SYSLOG, Level.FATAL),
        (3, Scale.SYSLOG, Level.ERROR),
        (4, Scale.SYSLOG, Level.WARN),
        (5, Scale.SYSLOG, Level.INFO),
        (6, Scale.SYSLOG, Level.INFO),
        (7, Scale.SYSLOG, Level.DEBUG),
        (8, Scale.SYSLOG, None),
        (1, Scale.OTEL, Level.TRACE),
        (5, Scale.OTEL, Level.DEBUG),
        (9, Scale.OTEL, Level.INFO),
        (13, Scale.OTEL, Level.WARN),
        (17, Scale.OTEL, Level.ERROR),
        (24, Scale.OTEL, Level.FATAL),
        (0, Scale.OTEL, None),
        (25, Scale.OTEL, None),
        (10, Scale.PYTHON, Level.DEBUG),
        (25, Scale.PYTHON, Level.INFO),
        (30, Scale.PYTHON, Level.WARN),
        (50, Scale.PYTHON, Level.FATAL),
        (10, Scale.PINO, Level.TRACE),
        (50, Scale.PINO, Level.ERROR),
        (60, Scale.PINO, Level.FATAL),
        (40_000, Scale.LOG4J, Level.ERROR),
        (3, None, Level.ERROR),
        (30, None, Level.INFO),
        (20_000, None, Level.INFO),
        ("50", None, Level.ERROR),
        (50.0, None, Level.ERROR),
        (500, None, None),
        (-1, None, None),
    ],
)
def test_numbers_by_their_scale(number: object, scale: Scale | None, level: Level | None) -> None:
    assert level_of(number, scale) is level


@pytest.mark.parametrize("value", [None, True, False, "", "banana", "ERRORS", [], {}, 3.5, "x" * 10_000, "٣"])
def test_what_is_no_level(value: object) -> None:
    assert level_of(value) is None


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.integers())))
def test_nothing_raises(value: object) -> None:
    for scale in (None, *Scale):
        found = level_of(value, scale)
        assert found is None or isinstance(found, Level)


@pytest.mark.parametrize("level", Level)
def test_its_own_names_are_kept(level: Level) -> None:
    assert level_of(level.value) is level
