"""The units of all services: what systemd itself says of them, and what must hold between them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from infra.local import elasticsearch, kafka
from infra.local.programs import _MODULES as LOCAL_MODULES
from infra.machines.inventory import Inventory, parse
from infra.machines.placement import TARGET_UNIT, UNITS, unit_name
from infra.machines.programs import _MODULES, PYTHON, Software
from infra.machines.units import CREDENTIALS, MEMORY_MAX, Given, credential_file, secrets_of, units
from infra.machines.vigil_admin import CREDENTIAL_NAME, refusal
from infra.services import GIVES_WAY, catalogue
from streaming.settings import Settings
from tests.support.inventories import inventory, machine

SECRETS = frozenset(credential_file(service, name) for service, names in CREDENTIALS.items() for name in names)
GIVEN = Given(Software.UPLOAD, SECRETS, {service.name: service.niceness for service in catalogue(Settings())})
MOST_EXPOSURE = 4.0


@cache
def one_machine() -> Inventory:
    """Every role but standby on one machine."""
    every = ["controller", "broker", "elasticsearch", "kibana", "indexing", "alerting", "collecting", "services"]
    machines = {"all": machine(10, every), "second": machine(11, ["broker", "standby"])}
    return parse({"deployment": "d", "network": "10.77.0.0/24", "machines": machines}, "x")


@cache
def every_unit(software: Software) -> dict[str, str]:
    given = Given(software, SECRETS, GIVEN.niceness)
    found: dict[str, str] = {}
    for name in one_machine().machines:
        found |= units(one_machine(), name, given)
    return found


def settings_of(text: str) -> list[tuple[str, str]]:
    pairs = [line.partition("=") for line in text.splitlines() if "=" in line]
    return [(key, value) for key, _, value in pairs]


def value_of(text: str, key: str) -> str:
    return next(value for name, value in settings_of(text) if name == key)


def test_every_unit_that_may_be_controlled_can_be_made() -> None:
    upload, packages = every_unit(Software.UPLOAD), every_unit(Software.PACKAGES)
    assert set(upload) | set(packages) == {*UNITS, TARGET_UNIT}
    assert set(UNITS) - set(upload) == {"vigil-kibana.service"}
    assert set(UNITS) - set(packages) == {"vigil-elasticsearch-proxy.service"}


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if not program:
        pytest.skip("no systemd-analyze here: Debian's package systemd has it")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module", params=list(Software))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All units, with programs that this machine has: systemd looks whether they are there."""
    place = tmp_path_factory.mktemp("units")
    for name, text in every_unit(request.param).items():
        text = re.sub(r"ExecStart=/(usr|opt/fluent)/\S+", "ExecStart=/bin/true", text.replace(PYTHON, sys.executable))
        (place / name).write_text(text)
    return place


def test_systemd_finds_nothing_to_say_of_them(folder: Path) -> None:
    done = analyze("verify", "--man=no", *map(str, sorted(folder.iterdir())))
    assert [line for line in done.stderr.splitlines() if str(folder) in line or "vigil" in line] == []
    assert done.returncode == 0, done.stderr


def test_no_service_is_more_exposed_than_ok(folder: Path) -> None:
    files = sorted(str(file) for file in folder.glob("*.service"))
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE * 10:.0f}", *files)
    found = re.findall(r"Overall exposure level for (\S+): ([\d.]+)", done.stdout)
    assert len(found) == len(files), done.stderr
    assert {name: level for name, level in found if float(level) > MOST_EXPOSURE} == {}
    assert done.returncode == 0


def test_a_machines_own_administration_takes_them() -> None:
    for software in Software:
        for name, text in every_unit(software).items():
            assert refusal(text) is None, name


def test_every_program_is_there_and_is_the_local_platforms() -> None:
    for name, module in _MODULES.items():
        assert find_spec(module), module
        if name != "kafka":  # one machine's Kafka knows neither users nor certificates
            assert LOCAL_MODULES.get(name, module) == module
    assert set(LOCAL_MODULES) <= set(_MODULES)


def test_workers_start_after_the_kafka_of_their_machine_only() -> None:
    given = GIVEN
    producer, consumer = (units(inventory(), name, given) for name in ("producer", "consumer"))
    assert value_of(producer["vigil-indexer.service"], "After") == "network-online.target vigil-kafka.service"
    assert value_of(producer["vigil-indexer.service"], "Wants") == "network-online.target vigil-kafka.service"
    assert "vigil-elasticsearch" not in producer["vigil-indexer.service"]
    assert value_of(consumer["vigil-elasticsearch-proxy.service"], "After").endswith("vigil-elasticsearch.service")
    assert value_of(producer["vigil-order.service"], "After").split()[1:] == [
        unit_name(f"accumulator{n}") for n in (1, 2, 3)
    ]
    for text in (*producer.values(), *consumer.values()):
        for unit in value_of(text, "After").split() if "After=" in text else []:
            assert unit == "network-online.target" or unit in producer | consumer


def test_standbys_take_a_slot_and_first_ones_none() -> None:
    producer, consumer = (units(inventory(), name, GIVEN) for name in ("producer", "consumer"))
    assert value_of(producer["vigil-matcher-standby.service"], "ExecStart").endswith("alerting.matcher --slot 1")
    assert value_of(consumer["vigil-matcher.service"], "ExecStart").endswith("alerting.matcher")


def test_waits_grow_where_systemd_can_do_that() -> None:
    older = units(inventory(), "producer", Given(Software.UPLOAD, systemd=252))["vigil-indexer.service"]
    newer = units(inventory(), "producer", Given(Software.UPLOAD, systemd=255))["vigil-indexer.service"]
    assert [line for line in newer.splitlines() if line not in older.splitlines()] == [
        "RestartSteps=5",
        "RestartMaxDelaySec=30",
    ]
    assert refusal(newer) is None


def test_what_makes_logs_searchable_gives_way() -> None:
    nice = {name: value_of(text, "Nice") for name, text in every_unit(Software.UPLOAD).items() if "Nice=" in text}
    assert nice["vigil-indexer.service"] == nice["vigil-elasticsearch.service"] == str(GIVES_WAY)
    assert nice["vigil-manager.service"] == nice["vigil-kafka.service"] == "0"


def test_a_service_gets_its_own_secrets_and_no_others() -> None:
    text = every_unit(Software.UPLOAD)["vigil-notifier.service"]
    loaded = [value for key, value in settings_of(text) if key == "LoadCredential"]
    assert loaded == [f"{name}:/etc/vigil/credentials/notifier.{name}" for name in sorted(CREDENTIALS["notifier"])]
    assert "LoadCredential" not in units(inventory(), "producer", Given(Software.UPLOAD))["vigil-indexer.service"]
    named_by_a_rule = Given(Software.UPLOAD, frozenset({"notifier.WEBHOOK_TOKEN"}))
    assert secrets_of("notifier", named_by_a_rule) == ("WEBHOOK_TOKEN",)
    assert secrets_of("manager", named_by_a_rule) == ()
    assert all(CREDENTIAL_NAME.fullmatch(name) for name in SECRETS)


def test_secrets_of_settings_are_named_after_their_fields() -> None:
    files = {"keystore", "elasticsearch_key", "forward_key", "forward_tls_key", "bootstrap_password", "settings"}
    """Keys of certificates, which settings name by their paths, and what a packaged Elasticsearch or Kibana reads."""
    known = {name for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)}
    assert {name for names in CREDENTIALS.values() for name in names} - files <= known


def test_memory_is_bounded_above_what_java_may_take() -> None:
    found = {name: value_of(text, "MemoryMax") for name, text in every_unit(Software.UPLOAD).items() if name in UNITS}
    assert set(MEMORY_MAX) <= {unit.removeprefix("vigil-").removesuffix(".service") for unit in UNITS}
    kafka_heap, elasticsearch_heap = int(kafka.HEAP[1].removesuffix("m")), 1024 * int(elasticsearch.HEAP[1][:-1])
    assert int(found["vigil-kafka.service"].removesuffix("M")) > kafka_heap + 300
    assert int(found["vigil-elasticsearch.service"].removesuffix("M")) > elasticsearch_heap + 500
