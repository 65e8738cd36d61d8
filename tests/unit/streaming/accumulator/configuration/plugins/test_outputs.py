"""Outputs: their buffers have Fluentd's parameters and defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.accumulator.configuration.plan import Buffer
from streaming.accumulator.configuration.planner import load_plan
from streaming.errors import ConfigError

SOURCE = "<source>\n@type forward\n</source>\n"


def buffer_of(tmp_path: Path, buffer: str) -> Buffer:
    file = tmp_path / "test.conf"
    kafka = f"<match **>\n@type kafka2\nbrokers k:1\ndefault_topic logs\n{buffer}</match>\n"
    file.write_text(SOURCE + kafka)
    (output,) = load_plan(file, {}).kafka_outputs()
    return output.buffer


@pytest.mark.parametrize("buffer", ["", "<buffer>\n</buffer>\n"])
def test_a_buffer_has_fluentds_defaults(tmp_path: Path, buffer: str) -> None:
    found = buffer_of(tmp_path, buffer)
    assert found == Buffer()
    assert (found.total_limit_size, found.overflow_action) == (64 * 1024**3, "throw_exception")
    assert (found.retry_timeout_s, found.retry_max_times, found.retry_wait_s) == (259200.0, None, 1.0)
    assert (found.retry_exponential_backoff_base, found.retry_max_interval_s) == (2.0, None)
    assert found.retry_randomize
    assert not found.retry_forever


def test_all_that_is_given_is_read(tmp_path: Path) -> None:
    text = """<buffer tag>
      total_limit_size 1g
      overflow_action drop_oldest_chunk
      retry_type periodic
      retry_forever true
      retry_timeout 5m
      retry_max_times 3
      retry_secondary_threshold 0.5
      retry_wait 2
      retry_exponential_backoff_base 3
      retry_max_interval 10
      retry_randomize false
    </buffer>
    """
    assert buffer_of(tmp_path, text) == Buffer(
        1024**3, "drop_oldest_chunk", "periodic", True, 300.0, 3, 0.5, 2.0, 3.0, 10.0, False
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("overflow_action blok", "'blok' is not supported; did you mean block"),
        ("retry_wait 0", "no pause at all"),
        ("retry_secondary_threshold 1", "no part of 1"),
        ("retry_exponential_backoff_base 0.5", "below 1"),
        ("retry_for_ever true", "Did you mean retry_forever"),
        ("retry_max_times -1", "no whole number"),
    ],
)
def test_values_that_make_no_sense_are_refused(tmp_path: Path, given: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        buffer_of(tmp_path, f"<buffer>\n{given}\n</buffer>\n")
    assert caught.value.line == 9
