"""Restarts that have yet to be: remembered by each machine until they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.machines.pending import Pending
from streaming.errors import ConfigError


def test_they_are_remembered_until_they_are_done(tmp_path: Path) -> None:
    Pending(tmp_path).add("producer", ["kafka", "indexer"])
    Pending(tmp_path).add("producer", ["indexer", "matcher"])
    Pending(tmp_path).add("consumer", [])
    pending = Pending(tmp_path)
    assert pending.of("producer") == {"kafka", "indexer", "matcher"}
    assert pending.of("consumer") == frozenset()
    pending.done("producer", "kafka")
    pending.done("producer", "kafka")
    assert Pending(tmp_path).of("producer") == {"indexer", "matcher"}
    for service in ("indexer", "matcher"):
        pending.done("producer", service)
    assert list((tmp_path / "pending").iterdir()) == []
    pending.add("producer", ["kafka"])
    pending.forget("producer")
    assert pending.of("producer") == frozenset()


def test_a_spoilt_file_is_named(tmp_path: Path) -> None:
    Pending(tmp_path).add("producer", ["kafka"])
    (tmp_path / "pending" / "producer.json").write_text("{")
    with pytest.raises(ConfigError, match=r"producer\.json"):
        Pending(tmp_path).of("producer")
