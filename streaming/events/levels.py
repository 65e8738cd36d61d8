"""Severity in every notation that senders use, as one of six levels.

Names are read in any case. What has no exact equal goes to the nearest: notice is INFO, critical, alert, emergency
and panic are FATAL, severe is ERROR, verbose and the finer ones of java.util.logging are TRACE.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

from streaming.events.model import Level

_NAMES: Final[dict[Level, str]] = {
    Level.TRACE: "TRACE TRC FINER FINEST VERBOSE VRB SILLY ALL",
    Level.DEBUG: "DEBUG DBG FINE DEBUGGING",
    Level.INFO: "INFO INF INFORMATION INFORMATIONAL NOTICE NTC NOTE LOG CONFIG DEFAULT OK SUCCESS",
    Level.WARN: "WARN WRN WARNING",
    Level.ERROR: "ERROR ERR SEVERE FAILURE",
    Level.FATAL: "FATAL FTL CRITICAL CRIT CRT ALERT EMERG EMERGENCY PANIC DISASTER",
}
_LEVELS: Final[dict[str, Level]] = {name: level for level, names in _NAMES.items() for name in names.split()}
# OpenTelemetry's short names of severity have a step within the level: ERROR2 is a graver ERROR.
_LEVELS.update({f"{level}{step}": level for level in Level for step in (2, 3, 4)})
_CASES: Final = {spelt: level for name, level in _LEVELS.items() for spelt in (name, name.lower(), name.capitalize())}

_LONGEST: Final = max(map(len, _LEVELS))


class Scale(Enum):
    """How a number is to be read, as rising (highest number, level); the last level holds for all above.

    SYSLOG: RFC 5424, 0 (emergency) to 7 (debug). OTEL: severityNumber, 1 to 24. PYTHON: `levelno`. PINO: pino
    and bunyan, where 60 is fatal and 50 an error. LOG4J: its `intLevel` in Logback's counting, 5,000 to 50,000.
    """

    SYSLOG = ((2, Level.FATAL), (3, Level.ERROR), (4, Level.WARN), (6, Level.INFO), (7, Level.DEBUG))
    OTEL = (
        (4, Level.TRACE),
        (8, Level.DEBUG),
        (12, Level.INFO),
        (16, Level.WARN),
        (20, Level.ERROR),
        (24, Level.FATAL),
    )
    PYTHON = (
        (9, Level.TRACE),
        (19, Level.DEBUG),
        (29, Level.INFO),
        (39, Level.WARN),
        (49, Level.ERROR),
        (99, Level.FATAL),
    )
    PINO = (
        (19, Level.TRACE),
        (29, Level.DEBUG),
        (39, Level.INFO),
        (49, Level.WARN),
        (59, Level.ERROR),
        (99, Level.FATAL),
    )
    LOG4J = (
        (9_999, Level.TRACE),
        (19_999, Level.DEBUG),
        (29_999, Level.INFO),
        (39_999, Level.WARN),
        (49_999, Level.ERROR),
        (99_999, Level.FATAL),
    )


def level_of(value: object, scale: Scale | None = None) -> Level | None:
    """The level that a name or a number stands for; None if it stands for none.

    A number without a `scale` is read by its size: 0 to 7 as syslog's severity, 8 to 99 as pino's, from 1,000 as
    Logback's. Numbers may come as text.
    """
    if isinstance(value, str):
        level = _CASES.get(value)
        if level is not None or len(value) > 2 * _LONGEST:
            return level
        text = value.strip().upper()
        if text.isdecimal() and text.isascii():
            return _by_number(int(text), scale)
        return _LEVELS.get(text)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _by_number(value, scale)
    return None


def _by_number(number: int, scale: Scale | None) -> Level | None:
    if scale is None:
        scale = Scale.SYSLOG if number <= 7 else Scale.PINO if number <= 99 else Scale.LOG4J
        if 99 < number < 1_000:
            return None
    steps: Sequence[tuple[int, Level]] = scale.value
    if number < (1 if scale is Scale.OTEL else 0):
        return None
    return next((level for highest, level in steps if number <= highest), None)
