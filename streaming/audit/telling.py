"""Tells people directly of what nothing else of Vigil can tell: once, not with every audit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum

import msgspec

from streaming import decoding
from streaming.audit.findings import Finding
from streaming.audit.store import folder
from streaming.audit.text import message
from streaming.errors import ConfigError
from streaming.files import write_whole
from streaming.settings import Settings

REPEAT_MS = 60 * 60_000
"""What goes on is told again so often, in the thread of its message."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What people were told last, and goes on."""

    keys: tuple[str, ...]
    """Of findings (`Finding.key`)."""
    at_ms: int
    since_ms: int
    thread: str
    """Slack's `ts` of the message; empty: it could not be told."""


class Step(StrEnum):
    """What is to be done."""

    NOTHING = "nothing"
    TELL = "tell"
    """A new message."""
    MORE = "more"
    """A reply: there is more, or it still goes on."""
    OVER = "over"
    """A reply: it is over."""


def next_step(told: Told | None, keys: Sequence[str], now_ms: int) -> Step:
    """What to tell, given what was told before and what is to be told now (none: all is well, or told elsewhere)."""
    if told is None:
        return Step.TELL if keys else Step.NOTHING
    if not keys:
        return Step.OVER
    if not told.thread:
        return Step.TELL
    news = set(keys) - set(told.keys)
    return Step.MORE if news or now_ms - told.at_ms >= REPEAT_MS else Step.NOTHING


def after(step: Step, told: Told | None, keys: Sequence[str], now_ms: int, thread: str) -> Told | None:
    """What is to be remembered once that was done. `thread` is that of a new message."""
    match step:
        case Step.OVER:
            return None
        case Step.TELL:
            since_ms = told.since_ms if told else now_ms
            return Told(keys=tuple(keys), at_ms=now_ms, since_ms=since_ms, thread=thread)
        case Step.MORE if told is not None:
            return msgspec.structs.replace(told, keys=tuple(keys), at_ms=now_ms)
        case _:
            return told


Post = Callable[[str, str], str]
"""Posts a text, as a reply in a thread (empty: as a new message), and returns the thread; empty where it could not."""


def tell(settings: Settings, kind: str, untold: Sequence[Finding], now_ms: int, post: Post) -> None:
    """Posts what is news, and remembers what was told. What could not be posted is tried again with the next audit.

    Args:
        kind: of the audit.
        untold: findings of which nothing else tells; none: what was told is over.

    Raises:
        ConfigError: what was told cannot be remembered.
    """
    told, keys = read_told(settings, kind), [finding.key for finding in untold]
    step = next_step(told, keys, now_ms)
    match step:
        case Step.NOTHING:
            return
        case Step.TELL | Step.MORE:
            since_ms = told.since_ms if told else now_ms
            before = told.thread if told and step is Step.MORE else ""
            thread = post(message(untold, since_ms, now_ms), before)
        case Step.OVER:
            over = f"The {kind} audit finds nothing any more that Vigil's own alerts cannot tell."
            thread = post(over, told.thread) if told and told.thread else ""
    write_told(settings, kind, after(step, told, keys, now_ms, thread))


def read_told(settings: Settings, kind: str) -> Told | None:
    """What was told last; None also where the file cannot be read: rather twice than never."""
    with suppress(OSError, msgspec.MsgspecError):
        return decoding.decode((folder(settings) / f"told-{kind}.json").read_bytes(), Told)
    return None


def write_told(settings: Settings, kind: str, told: Told | None) -> None:
    """Remembers it.

    Raises:
        ConfigError: it cannot be written.
    """
    file = folder(settings) / f"told-{kind}.json"
    if told is not None:
        write_whole(file, msgspec.json.encode(told))
        return
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot be removed ({error.strerror})", file=file) from error
