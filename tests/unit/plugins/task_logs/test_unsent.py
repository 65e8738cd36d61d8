"""The list of logs that wait for Elasticsearch."""

from __future__ import annotations

from pathlib import Path

import pytest
from vigil_airflow.task_logs.unsent import SIZE_LIMIT, UnsentList


def test_what_is_left_in_the_block_stays_remembered(tmp_path: Path) -> None:
    unsent = UnsentList(tmp_path)
    assert unsent.is_empty
    for entry in ("a", "b", "a", "c"):
        assert unsent.add(entry)
    with unsent.taken() as entries:
        assert entries == ["a", "b", "c"]
        entries.remove("b")
        unsent.add("d")
        with UnsentList(tmp_path).taken() as others:
            assert others == []  # another process has them
    with unsent.taken() as entries:
        assert entries == ["a", "c", "d"]
        entries.clear()
    assert unsent.is_empty
    with unsent.taken() as entries:
        assert entries == []


def test_an_error_in_the_block_loses_nothing(tmp_path: Path) -> None:
    unsent = UnsentList(tmp_path)
    unsent.add("a")
    with pytest.raises(KeyError), unsent.taken():
        raise KeyError
    with unsent.taken() as entries:
        assert entries == ["a"]


def test_it_is_bounded_and_a_folder_that_is_gone_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "not-in-elasticsearch").write_bytes(b"x" * (SIZE_LIMIT + 1))
    assert not UnsentList(tmp_path).add("a")
    assert not UnsentList(tmp_path / "gone").add("a")
    assert UnsentList(tmp_path / "gone").is_empty
