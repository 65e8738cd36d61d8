"""Preflight findings, on machines made of plain functions."""

from __future__ import annotations

import dataclasses
import socket
from pathlib import Path

import pytest

from infra.local.layout import Layout
from infra.local.preflight import (
    GIB,
    Holder,
    Machine,
    Verdict,
    check,
    check_ports,
    failures,
    ports,
    require,
    this_machine,
)
from streaming.errors import VigilError
from streaming.settings import Settings

GOOD = Machine(
    python=(3, 12),
    free_disk=lambda _: 50 * GIB,
    available_memory=lambda: 8 * GIB,
    is_free=lambda _host, _port: True,
    holder=lambda _: None,
    has_module=lambda _: True,
    has_tool=lambda _: True,
    open_files=lambda: 65536,
    map_count=lambda: 262144,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A platform whose files are all there, and nothing else of the checkout's."""
    fluentd, rules = tmp_path / "fluentd", tmp_path / "rules"
    fluentd.mkdir()
    rules.mkdir()
    for number in (1, 2, 3):
        (fluentd / f"fluent{number}.conf").touch()
    return Settings(home=tmp_path / "home", fluentd_path=fluentd, rules_path=rules)


def failed(settings: Settings, machine: Machine, running: bool = False) -> list[str]:
    return [f"{c.name}: {c.text}" for c in failures(check(settings, Layout(settings.home), machine, running))]


def test_a_good_machine_has_no_findings(settings: Settings) -> None:
    assert failed(settings, GOOD) == []


@pytest.mark.parametrize("version", [(3, 10), (3, 14), (2, 7)])
def test_other_pythons_are_refused(settings: Settings, version: tuple[int, int]) -> None:
    (finding,) = failed(settings, dataclasses.replace(GOOD, python=version))
    assert "PYTHON=" in finding


def test_too_little_memory_is_refused_but_not_where_the_platform_itself_uses_it(settings: Settings) -> None:
    small = dataclasses.replace(GOOD, available_memory=lambda: GIB)
    (finding,) = failed(settings, small)
    assert "1.0 GiB available, 3 are needed" in finding
    assert failed(settings, small, running=True) == []


@pytest.mark.parametrize("host", ["0.0.0.0", "garbage", "192.168.1.5", "::1", ""])
def test_an_address_that_others_can_reach_is_one_finding(settings: Settings, host: str) -> None:
    nothing_binds = dataclasses.replace(GOOD, is_free=lambda _host, _port: False)
    (finding,) = failed(settings.model_copy(update={"bind_host": host}), nothing_binds)
    assert "VIGIL_BIND_HOST" in finding


def test_a_platform_that_runs_on_a_full_disk_may_be_repaired(settings: Settings) -> None:
    full = dataclasses.replace(GOOD, free_disk=lambda _: GIB)
    assert len(failed(settings, full)) == 1
    assert failed(settings, full, running=True) == []


def test_all_findings_are_told_at_once_a_line_each(settings: Settings) -> None:
    bad = dataclasses.replace(
        GOOD, python=(3, 9), free_disk=lambda _: 0, available_memory=lambda: 0, open_files=lambda: 256
    )
    assert len(failed(settings, bad)) == 4
    with pytest.raises(VigilError) as raised:
        require(check(settings, Layout(settings.home), bad, False))
    lines = str(raised.value).splitlines()
    assert len(lines) == 5
    assert any("VIGIL_HOME" in line for line in lines)


def test_a_port_of_another_program_is_named_with_it_and_with_the_setting_that_moves_it(settings: Settings) -> None:
    taken = dataclasses.replace(
        GOOD, is_free=lambda _, port: port != settings.kafka_port, holder=lambda _: Holder(4711, "java Kafka", False)
    )
    (finding,) = failed(settings, taken)
    assert (
        finding == f"port: {settings.kafka_port} is taken by process 4711 (java Kafka). End it, or set VIGIL_KAFKA_PORT"
    )


def test_a_health_port_names_the_base_that_moves_it(settings: Settings) -> None:
    port = settings.health_port("indexer")
    (finding,) = failed(settings, dataclasses.replace(GOOD, is_free=lambda _, p: p != port))
    assert finding.endswith("set VIGIL_HEALTH_PORT_BASE")


def test_ports_of_our_own_platform_are_well(settings: Settings) -> None:
    ours = dataclasses.replace(GOOD, is_free=lambda _host, _port: False, holder=lambda _: Holder(1, "x", True))
    assert failed(settings, ours) == []


def test_two_settings_of_one_port_are_told() -> None:
    (finding,) = check_ports({"VIGIL_A_PORT": 1, "VIGIL_B_PORT": 1}, "127.0.0.1", GOOD)
    assert finding.verdict is Verdict.FAILED
    assert "VIGIL_A_PORT" in finding.text
    assert "VIGIL_B_PORT" in finding.text


def test_the_default_ports_differ_from_each_other() -> None:
    wanted = ports(Settings())
    assert len(set(wanted.values())) == len(wanted)


def test_a_missing_accumulator_file_is_named(settings: Settings) -> None:
    (settings.fluentd_path / "fluent2.conf").unlink()
    (finding,) = failed(settings, GOOD)
    assert "fluent2.conf is not there" in finding


def test_a_real_fluentd_is_looked_for_only_when_it_is_to_run(settings: Settings) -> None:
    without = dataclasses.replace(GOOD, has_tool=lambda _: False)
    assert failed(settings, without) == []
    wanted = settings.model_copy(update={"accumulator_engine": "fluentd"})
    (finding,) = failed(wanted, without)
    assert "VIGIL_ACCUMULATOR_ENGINE=builtin" in finding


def test_a_home_that_cannot_be_made_is_told(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (finding,) = failed(settings.model_copy(update={"home": tmp_path / "file" / "home"}), GOOD)
    assert "VIGIL_HOME" in finding


@pytest.mark.parametrize("name", ["with space", "pct%n", "quote\"'", "semi ;#hash", "ünï"])
def test_odd_characters_in_the_home_are_well(settings: Settings, tmp_path: Path, name: str) -> None:
    assert failed(settings.model_copy(update={"home": tmp_path / name}), GOOD) == []


def test_the_real_machine_knows_who_holds_a_port(tmp_path: Path) -> None:
    machine = this_machine(Layout(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not machine.is_free("127.0.0.1", port)
        holder = machine.holder(port)
        assert holder is not None
        assert not holder.ours
    assert machine.is_free("127.0.0.1", port)
    assert machine.available_memory() > 0
    assert machine.free_disk(tmp_path / "not" / "there") > 0
