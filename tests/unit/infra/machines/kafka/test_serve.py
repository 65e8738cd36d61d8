"""What is done with the disk of a cluster that is no more."""

from __future__ import annotations

from pathlib import Path

from infra.machines.kafka.serve import forgotten_in, set_aside


def _disk(folder: Path, cluster: str) -> Path:
    data = folder / "data"
    data.mkdir()
    (data / "meta.properties").write_text(f"#\n#Thu Nov 26\ncluster.id={cluster}\nversion=1\n")
    return data


def test_a_disk_of_a_cluster_that_was_given_up_is_set_aside_whole(tmp_path: Path) -> None:
    data = _disk(tmp_path, "old")
    (tmp_path / "forgotten.ids").write_text("older\nold\n")
    place = set_aside(data, forgotten_in(tmp_path))
    assert place == tmp_path / "data-of-old"
    assert (place / "meta.properties").exists()
    assert not data.exists()


def test_any_other_disk_stays(tmp_path: Path) -> None:
    assert forgotten_in(tmp_path) == frozenset()
    assert set_aside(tmp_path / "data", {"old"}) is None
    data = _disk(tmp_path, "mine")
    assert set_aside(data, {"old"}) is None
    assert set_aside(data, frozenset()) is None
    assert data.exists()
