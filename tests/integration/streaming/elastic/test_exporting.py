"""Indices leave a real server as files, and another index can be given them again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard

from streaming.elastic import exporting
from streaming.elastic.connection import NDJSON, Connection
from streaming.elastic.exporting import export_indices
from streaming.errors import ConfigError
from streaming.settings import Settings


def put(connection: Connection, index: str, documents: range) -> None:
    connection.request("PUT", f"/{index}", json.dumps({"settings": {"number_of_shards": 2}}).encode())
    lines: list[bytes] = []
    for n in documents:
        lines.append(json.dumps({"create": {"_index": index, "_id": f"d{n}"}}).encode() + b"\n")
        lines.append(json.dumps({"n": n, "text": f"line\n{n} \u2028 'é'"}).encode() + b"\n")
    assert not json.loads(connection.request("POST", "/_bulk?refresh=true", b"".join(lines), NDJSON).body)["errors"]


def test_every_document_is_in_a_file_once_and_can_be_put_back(
    settings: Settings, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "PAGE", 7)
    prefix = settings.index_prefix
    put(connection, f"{prefix}-logs-default-2026.11.24", range(20))
    put(connection, f"{prefix}-incidents", range(7))
    connection.request("PUT", f"/{prefix}-empty")
    put(connection, f"other-{prefix}", range(3))

    said: list[str] = []
    done = export_indices(settings, tmp_path / "out", said.append)
    assert {one.index: one.documents for one in done} == {
        f"{prefix}-logs-default-2026.11.24": 20,
        f"{prefix}-incidents": 7,
        f"{prefix}-empty": 0,
    }
    assert said[-1].split()[0] == "27"
    assert {file.name for file in (tmp_path / "out").iterdir()} == {f"{one.index}.ndjson.zst" for one in done}

    before = connection.request("GET", f"/{prefix}-incidents/_doc/d3").body
    connection.request("DELETE", f"/{prefix}-incidents")
    connection.request("PUT", f"/{prefix}-incidents")
    (file,) = (one.file for one in done if one.index == f"{prefix}-incidents")
    again = zstandard.ZstdDecompressor().stream_reader(file.read_bytes()).read()
    answer = json.loads(connection.request("POST", "/_bulk?refresh=true", again, NDJSON).body)
    assert not answer["errors"], answer
    after = connection.request("GET", f"/{prefix}-incidents/_doc/d3").body
    assert json.loads(after)["_source"] == json.loads(before)["_source"]
    assert json.loads(connection.request("GET", f"/{prefix}-incidents/_count").body)["count"] == 7


def test_a_folder_that_cannot_be_written_is_named(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="file/below"):
        export_indices(settings, tmp_path / "file" / "below", print)
