"""What machines are given: settings that programs take, secrets only where they are needed, the same bytes again."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.machines.administration import Wanted
from infra.machines.contents import Deployed, certificates_of, contents
from infra.machines.kafka.rights import USERS
from infra.machines.programs import Software
from infra.machines.secret_store import SecretStore
from infra.machines.vigil_admin import CREDENTIAL_NAME, FILE_NAME, refusal
from streaming.kafka.access import Protocol
from streaming.settings import Settings, load_settings
from tests.support.inventories import inventory

INVENTORY = inventory()


def deployed(store: SecretStore) -> Deployed:
    settings = Settings().model_copy(
        update={
            "slack_bot_token": SecretStr("xoxb-hush"),
            "slack_channel": "C1",
            "ui_url": 'http://a"b$c',
            "heartbeat_deadline_s": 7.0,
        }
    )
    certificates = {file: store.certificate(file, *about) for file, about in certificates_of(INVENTORY).items()}
    return Deployed(
        settings,
        Software.UPLOAD,
        store.cluster_id,
        store.authority.read_text(),
        {"errors.yaml": "rules: []\n"},
        {"fluent1.conf": "a", "common/routes.conf": "b"},
        store.passwords(list(USERS)),
        certificates,
    )


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    return SecretStore(tmp_path / "secrets", "test")


@pytest.fixture
def both(store: SecretStore) -> dict[str, Wanted]:
    platform = deployed(store)
    return {machine: contents(INVENTORY, machine, platform) for machine in INVENTORY.machines}


def environment(text: str) -> dict[str, str]:
    """As systemd would read it."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition("=")
        assert value[0] == value[-1] == '"'
        found[name] = re.sub(r"\\(.)", r"\1", value[1:-1])
    return found


def test_the_programs_take_their_settings(both: dict[str, Wanted], monkeypatch: pytest.MonkeyPatch) -> None:
    files = both["producer"].files
    for name in list(os.environ):
        if name.startswith(("VIGIL_", "SLACK_")):
            monkeypatch.delenv(name)
    for part in ("vigil.env", "brokers.env", "env/indexer.env"):
        for name, value in environment(files[part]).items():
            monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.kafka.protocol is Protocol.SASL_SSL
    assert settings.kafka.bootstrap == "10.77.0.11:9092,10.77.0.12:9092"
    assert settings.kafka.username == "indexer"
    assert settings.elastic.url == "https://10.77.0.12:9243"
    assert settings.elastic.cert_path == "/etc/vigil/tls/indexer.pem"
    assert settings.elastic.key_path == "/run/credentials/vigil-indexer.service/elasticsearch_key"
    assert (settings.bind_host, settings.heartbeat_deadline_s) == ("127.0.0.1", 7.0)
    assert (settings.ui_url, settings.slack_channel) == ('http://a"b$c', "C1")
    assert str(settings.jars) == "/opt/vigil/jars"


def test_no_secret_is_in_a_file_or_a_unit(both: dict[str, Wanted], store: SecretStore) -> None:
    hidden = {*store.values(), "xoxb-hush"}
    assert len(hidden) > len(USERS)
    for wanted in both.values():
        shown = "".join([*wanted.files.values(), *wanted.units.values(), repr(wanted)])
        assert not [value for value in hidden if value in shown]


def test_each_service_has_its_own_secrets_and_its_unit_loads_them(both: dict[str, Wanted]) -> None:
    producer, consumer = both["producer"], both["consumer"]
    assert "indexer.kafka_password" in producer.secrets
    assert "indexer.kafka_password" not in consumer.secrets
    assert "elasticsearch-proxy.keystore" in consumer.secrets
    assert producer.secrets["matcher.kafka_password"] == consumer.secrets["matcher.kafka_password"]
    assert producer.secrets["kafka.keystore"] != consumer.secrets["kafka.keystore"]
    assert producer.secrets["accumulator1.kafka_password"] == producer.secrets["accumulator2.kafka_password"]
    assert not [name for name in producer.secrets if name.startswith(("order.", "loadgen."))]
    for wanted in both.values():
        loaded = {
            line.split("/")[-1]
            for text in wanted.units.values()
            for line in text.splitlines()
            if line.startswith("LoadCredential=")
        }
        assert loaded == set(wanted.secrets)


def test_the_machines_own_program_takes_all_of_it(both: dict[str, Wanted]) -> None:
    for wanted in both.values():
        assert all(FILE_NAME.fullmatch(name) for name in wanted.files)
        assert all(CREDENTIAL_NAME.fullmatch(name) for name in wanted.secrets)
        assert {name: refusal(text, name) for name, text in wanted.units.items()} == dict.fromkeys(wanted.units)
    assert "vigil-manager-standby.service" in both["producer"].units
    assert {"rules/errors.yaml", "fluentd/common/routes.conf"} <= set(both["producer"].files)
    assert not [name for name in both["consumer"].files if name.startswith("fluentd/")]


def test_again_is_the_same(both: dict[str, Wanted], store: SecretStore, tmp_path: Path) -> None:
    again = deployed(SecretStore(tmp_path / "secrets", "test"))
    assert {machine: contents(INVENTORY, machine, again) for machine in INVENTORY.machines} == both
    store.next_passwords(["indexer"])
    store.take_next_passwords()
    changed = contents(INVENTORY, "producer", deployed(store))
    differing = {name for name, value in changed.secrets.items() if both["producer"].secrets[name] != value}
    assert differing == {"indexer.kafka_password"}
    assert changed.files == both["producer"].files
