from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from streaming.cli.replay import addresses, replay
from streaming.errors import ConfigError
from streaming.settings import Settings

if TYPE_CHECKING:
    from tests.conftest import ForwardServer

app = typer.Typer()
app.command()(replay)


def test_the_summary_is_json_for_programs(forward_server: ForwardServer, tmp_path: Path) -> None:
    file = tmp_path / "Spark_2k.log"
    file.write_bytes(b"one\r\ntwo\r\n")
    done = CliRunner().invoke(
        app, [str(file), "--accumulator", f"127.0.0.1:{forward_server.port}", "--node", "n-7", "--json"]
    )
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert {k: summary[k] for k in ("files", "lines", "acknowledged")} == {"files": 1, "lines": 2, "acknowledged": 2}
    assert [(r["service_name"], r["node_id"]) for r in forward_server.records()] == [("spark", "n-7")] * 2


def test_the_summary_is_a_sentence_for_people(forward_server: ForwardServer, tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_bytes(b'{"message": 1}\n\n')
    arguments = [str(file), "--accumulator", f"127.0.0.1:{forward_server.port}", "--json-lines", "never"]
    done = CliRunner().invoke(app, arguments)
    assert done.stdout.startswith("1 of 1 lines of 1 files acknowledged in ")
    assert "1 blank" in done.stdout
    assert forward_server.records()[0]["message"] == '{"message": 1}'


def test_standard_input_at_the_pace_of_its_times(forward_server: ForwardServer) -> None:
    text = "2026-11-24 06:00:00 INFO a\n2026-11-24 06:00:09 INFO b\nno time\n"
    arguments = ["-", "--accumulator", f"127.0.0.1:{forward_server.port}", "--speed", "1000", "--service", "api"]
    done = CliRunner().invoke(app, arguments, input=text)
    assert done.exit_code == 0, done.output
    assert "1 lines say no time" in done.stdout
    assert [r["service_name"] for r in forward_server.records()] == ["api"] * 3


def test_accumulators_are_numbers_or_addresses() -> None:
    settings = Settings(accumulator2_port=3333)
    assert addresses(["2", "10.0.0.7:24224", "[::1]:99"], settings) == [
        ("127.0.0.1", 3333),
        ("10.0.0.7", 24224),
        ("::1", 99),
    ]
    assert len(addresses([], settings)) == 3


@pytest.mark.parametrize("text", ["4", "here", "here:", ":24224", "here:99999", "here:²"])
def test_what_is_neither_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="neither 1, 2, 3 nor HOST:PORT"):
        addresses([text], Settings())
