from __future__ import annotations

import zipfile
from pathlib import Path

from infra.local.elasticsearch import DESCRIPTOR, lay_out, node_settings
from streaming.settings import Settings


def test_the_node_is_alone_on_loopback_and_makes_no_index_of_vigils(tmp_path: Path) -> None:
    found = node_settings(Settings(home=tmp_path, elasticsearch_port=19200, bind_host="127.0.0.1"), tmp_path)
    assert found["discovery.type"] == "single-node"
    assert (found["http.host"], found["http.port"], found["transport.host"]) == ("127.0.0.1", "19200", "127.0.0.1")
    assert found["action.auto_create_index"] == "-vigil-*,+*"
    assert found["path.repo"] == str(tmp_path / "snapshots")
    marks = {found[f"cluster.routing.allocation.disk.watermark.{mark}"] for mark in ("low", "high", "flood_stage")}
    assert not any("%" in mark for mark in marks)


def test_the_transport_is_laid_out_as_a_module_off_the_class_path(tmp_path: Path) -> None:
    jars = tuple(tmp_path / name for name in ("elasticsearch-9.jar", "transport-netty4-9.jar", "netty-common-4.jar"))
    for jar in jars:
        with zipfile.ZipFile(jar, "w") as archive:
            archive.writestr(DESCRIPTOR, "name=transport-netty4\nmodulename=org.example\nversion=9\n")
    home = tmp_path / "home"
    for _ in range(2):  # also over an earlier one
        assert lay_out(home, jars) == [jars[0]]
    module = home / "run" / "elasticsearch" / "modules" / "transport-netty4"
    descriptor = (module / "plugin-descriptor.properties").read_text(encoding="utf-8")
    assert descriptor == "name=transport-netty4\nversion=9\n"
    assert {path.name for path in module.glob("*.jar")} == {"transport-netty4-9.jar", "netty-common-4.jar"}
