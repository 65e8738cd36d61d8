"""Errors that a person is meant to read: each names the place and the remedy."""

from __future__ import annotations

from pathlib import Path


class VigilError(Exception):
    """Base of the errors whose text is shown to a user as it is, without a traceback.

    `exit_code` is what the command line ends with.
    """

    exit_code = 1


class ConfigError(VigilError):
    """A configuration file, rule file, Fluentd file or environment variable that cannot be used.

    The text reads `FILE:LINE: FIELD: REASON. REMEDY`; parts that are unknown are left out.
    """

    exit_code = 78  # EX_CONFIG of sysexits.h

    def __init__(
        self,
        reason: str,
        *,
        file: Path | str | None = None,
        line: int | None = None,
        field: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.reason, self.file, self.line, self.field, self.remedy = reason, file, line, field, remedy
        place = "" if file is None else f"{file}:{line}: " if line else f"{file}: "
        what = f"{field}: " if field else ""
        cure = f". {remedy}" if remedy else ""
        super().__init__(f"{place}{what}{reason}{cure}")


class Unavailable(VigilError):
    """A server that is needed does not answer; the text says which, where, and how to start it."""

    exit_code = 69  # EX_UNAVAILABLE of sysexits.h
