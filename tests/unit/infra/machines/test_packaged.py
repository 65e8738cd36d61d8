"""What machines are given where Elasticsearch, Kibana and Fluentd come from packages."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from infra.machines import kibana, vigil_admin
from infra.machines.administration import Wanted, affected
from infra.machines.contents import Deployed, certificates_of, contents
from infra.machines.elastic.configuration import NODE_NAME
from infra.machines.elastic.rights import CLIENTS
from infra.machines.elastic.security import TOKEN, key_name
from infra.machines.fluentd import KAFKA
from infra.machines.inventory import Inventory
from infra.machines.kafka.rights import USERS
from infra.machines.packaged import packaged
from infra.machines.packages import packages_of
from infra.machines.programs import Software
from infra.machines.secret_store import SecretStore
from infra.machines.target import Machines
from streaming.errors import ConfigError
from streaming.settings import Settings
from tests.support.inventories import inventory, with_kibana

INVENTORY = with_kibana()


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    return SecretStore(tmp_path / "secrets", "vigil")


def given(store: SecretStore, software: Software = Software.PACKAGES, found: Inventory = INVENTORY) -> Deployed:
    about = certificates_of(found, software)
    return Deployed(
        Settings(),
        software,
        store.cluster_id,
        store.authority.read_text(),
        {"errors.yaml": "rules: []\n"},
        {"fluent1.conf": "@include common/routes.conf\n", KAFKA: "required_acks -1\n"},
        store.passwords(list(USERS)),
        {file: store.certificate(file, *of) for file, of in about.items()},
        packaged=packaged(store.elastic, tuple(CLIENTS)) if software is Software.PACKAGES else None,
    )


def with_keys(store: SecretStore) -> SecretStore:
    for client in CLIENTS:
        store.elastic.keep(key_name(client), f"key-of-{client}")
    store.elastic.keep(TOKEN, "token-of-kibana")
    return store


def both(store: SecretStore) -> dict[str, Wanted]:
    return {name: contents(INVENTORY, name, given(store)) for name in INVENTORY.machines}


def test_each_service_has_its_own_key_and_nobody_anothers(store: SecretStore) -> None:
    wanted = both(with_keys(store))
    assert wanted["producer"].secrets["indexer.elasticsearch_api_key"] == "key-of-indexer"
    everywhere = [value for one in wanted.values() for value in one.secrets.values()]
    assert everywhere.count("key-of-indexer") == 1
    assert not any("key-of-control" in value or "key-of-kibana-objects" in value for value in everywhere)
    assert "VIGIL_ELASTICSEARCH_CERT_PATH" not in wanted["producer"].files["env/indexer.env"]


def test_no_secret_is_in_a_file_or_a_unit(store: SecretStore) -> None:
    for wanted in both(with_keys(store)).values():
        texts = "\n".join([*wanted.files.values(), *wanted.units.values()])
        assert not [value for value in store.values() if value in texts]


def test_elasticsearch_shows_a_name_that_no_other_certificate_has(store: SecretStore) -> None:
    about = certificates_of(INVENTORY, Software.PACKAGES)
    assert [file for file, (_, names) in about.items() if NODE_NAME in names] == ["elasticsearch@consumer"]
    assert "elasticsearch-proxy@consumer" not in about
    assert "indexer@producer" not in about


def test_kibana_reads_what_is_secret_from_its_credentials(store: SecretStore) -> None:
    consumer = both(with_keys(store))["consumer"]
    settings = yaml.safe_load(consumer.files["kibana/kibana.yml"])
    assert settings["server.publicBaseUrl"] == "https://127.0.0.1:19612"
    assert settings["elasticsearch.hosts"] == ["https://10.77.0.12:9243"]
    secret = yaml.safe_load(consumer.secrets["kibana.settings"])
    assert secret["elasticsearch.serviceAccountToken"] == "token-of-kibana"
    assert all(len(secret[name]) >= 32 for name in secret if name.endswith("encryptionKey"))
    unit = consumer.units["vigil-kibana.service"]
    assert "--config /run/credentials/vigil-kibana.service/settings" in unit
    assert "LoadCredential=settings:/etc/vigil/credentials/kibana.settings" in unit


def test_before_elasticsearch_has_made_keys_their_owners_have_none(store: SecretStore) -> None:
    wanted = both(store)
    assert "kibana.settings" not in wanted["consumer"].secrets
    assert "indexer.elasticsearch_api_key" not in wanted["producer"].secrets
    assert len(wanted["consumer"].secrets["elasticsearch.bootstrap_password"]) == 32
    assert both(store) == wanted


def test_fluentd_reaches_kafka_by_tls_and_its_password_stands_nowhere(store: SecretStore) -> None:
    producer = both(store)["producer"]
    text = producer.files[f"fluentd/{KAFKA}"]
    assert text.startswith("required_acks -1\n")
    assert "sasl_over_ssl true" in text
    assert "File.read" in text
    unit = producer.units["vigil-accumulator2.service"]
    assert "ExecStart=/opt/fluent/bin/fluentd -c /etc/vigil/fluentd/fluent2.conf" in unit
    assert "Type=exec" in unit
    assert "WatchdogSec" not in unit
    assert 'VIGIL_SPOOL_DIR="/var/lib/vigil/accumulator2/spool"' in producer.files["env/accumulator2.env"]


def test_fluentds_files_of_another_layout_are_refused(store: SecretStore) -> None:
    other = given(store)
    object.__setattr__(other, "fluentd", {"fluent1.conf": ""})
    with pytest.raises(ConfigError, match=KAFKA):
        contents(INVENTORY, "producer", other)


def test_all_of_it_is_let_through_by_the_machine(store: SecretStore, tmp_path: Path) -> None:
    for wanted in both(with_keys(store)).values():
        taken = vigil_admin.wanted(wanted.encoded(), vigil_admin.Machine(tmp_path, lambda *_: ""))
        assert taken["units"] == wanted.units


def test_where_software_is_uploaded_nothing_is_there_of_what_it_has_not(store: SecretStore) -> None:
    consumer = contents(INVENTORY, "consumer", given(store, Software.UPLOAD))
    assert not [name for name in (*consumer.files, *consumer.units, *consumer.secrets) if "kibana" in name]
    assert "env/elasticsearch-proxy.env" in consumer.files


def test_waits_between_starts_grow_where_systemd_can(store: SecretStore) -> None:
    for systemd, there in ((252, False), (255, True)):
        unit = contents(INVENTORY, "producer", given(store), systemd).units["vigil-indexer.service"]
        assert ("RestartSteps" in unit) is there


def test_packages_follow_from_roles() -> None:
    assert set(packages_of(INVENTORY, "producer")) == {"fluent-package"}
    assert set(packages_of(INVENTORY, "consumer")) == {"elasticsearch", "kibana"}
    assert packages_of(INVENTORY, "consumer")["kibana"] == packages_of(INVENTORY, "consumer")["elasticsearch"]


def test_another_node_of_elasticsearch_restarts_none() -> None:
    here = INVENTORY.instances("consumer")
    assert affected(["files/elasticsearch/unicast_hosts.txt", "files/elasticsearch/first-masters.yml"], here) == []
    assert [str(one) for one in affected(["files/elasticsearch/elasticsearch.yml"], here)] == ["elasticsearch@consumer"]
    assert [str(one) for one in affected(["credentials/kibana.settings"], here)] == ["kibana@consumer"]


def test_kibanas_steps_are_skipped_with_a_reason(tmp_path: Path) -> None:
    assert "uploaded" in (kibana.why_skipped(INVENTORY, Software.UPLOAD) or "")
    assert "role kibana" in (kibana.why_skipped(inventory(), Software.PACKAGES) or "")
    assert kibana.why_skipped(INVENTORY, Software.PACKAGES) is None
    machines = Machines(Settings(), INVENTORY, tmp_path, Software.PACKAGES)
    with pytest.raises(ConfigError, match="no key"):
        kibana.bring_objects(machines, print)


def test_the_host_shows_its_key_to_a_packaged_elasticsearch(tmp_path: Path) -> None:
    machines = Machines(Settings(), INVENTORY, tmp_path, Software.PACKAGES)
    with_keys(machines.store)
    settings = machines.client_settings()
    assert settings.elasticsearch_api_key.get_secret_value() == "key-of-control"
    assert settings.elasticsearch_cert_path == ""
    embedded = Machines(Settings(), INVENTORY, tmp_path).client_settings()
    assert embedded.elasticsearch_api_key.get_secret_value() == ""
    assert embedded.elasticsearch_key_path
