"""Files of `@type file`: whole lines, whatever the disk does and whatever time an event claims."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from streaming.accumulator.configuration.config import Place
from streaming.accumulator.configuration.plan import FileOutput
from streaming.accumulator.delivery.events import Event
from streaming.accumulator.delivery.files import AppendedFiles

NOW = 1_700_000_000_000_000_000


def output(path: Path, timekey_s: int | None = None) -> FileOutput:
    return FileOutput(Place(path, 1), str(path), ".log", timekey_s, True, "json", "message")


def event(value: bytes, time_ns: int = NOW) -> Event:
    return Event(time_ns, {}, value)


@pytest.mark.parametrize("time_ns", [(2**64 - 1) * 10**9, -(2**63) * 10**9])
def test_where_no_date_can_say_an_events_time_that_of_receiving_names_the_file(tmp_path: Path, time_ns: int) -> None:
    """Any sender may write such a number; it must not end the accumulator, and again after each restart."""
    files = AppendedFiles()
    files.append(output(tmp_path / "app", 86_400), event(b"{}", time_ns), "t", NOW)
    files.sync()
    files.close()
    assert (tmp_path / "app.20231114.log").read_bytes() == b"{}\n"


def test_a_disk_that_fills_up_within_a_line_leaves_no_half_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, write = AppendedFiles(), os.write
    files.append(output(tmp_path / "app"), event(b"first"), "t", NOW)
    files.sync()
    files.append(output(tmp_path / "app"), event(b"second"), "t", NOW)
    monkeypatch.setattr("streaming.accumulator.delivery.files.os.write", filling_up(write, room=3))
    with pytest.raises(OSError, match="No space"):
        files.sync()
    monkeypatch.setattr("streaming.accumulator.delivery.files.os.write", write)
    files.append(output(tmp_path / "app"), event(b"second"), "t", NOW)
    files.sync()
    files.close()
    assert (tmp_path / "app.log").read_bytes() == b"first\nsecond\n"


def filling_up(write: Callable[[int, bytes], int], room: int) -> Callable[[int, bytes], int]:
    """A `write` for which the disk has so many bytes left."""

    def limited(file: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        written = write(file, data[:room])
        room -= written
        return written

    return limited


def test_a_line_does_not_run_on_from_one_that_a_killed_process_left(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_bytes(b"first\nsec")
    files = AppendedFiles()
    files.append(output(tmp_path / "app"), event(b"second"), "t", NOW)
    files.sync()
    files.close()
    assert (tmp_path / "app.log").read_bytes() == b"first\nsec\nsecond\n"
