"""What a person may name, and what follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from infra.machines.contents import certificates_of
from infra.machines.inventory import parse
from infra.machines.kafka.rights import USERS
from infra.machines.programs import Software
from infra.machines.rotation.delivery import secrets_of
from infra.machines.rotation.subjects import ANY, SLACK_TOKENS, Plan, Step, Subject, all_certificates, plan, rounds
from streaming.errors import ConfigError
from streaming.settings import Settings
from tests.support.inventories import inventory, two_machines
from tests.support.simulated_rotation import SimulatedMachines, World, entries_of

INVENTORY = inventory()
FILES = tuple(all_certificates(INVENTORY))


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        (["passwords"], Plan(users=tuple(USERS))),
        (["password:indexer", "password:accumulator"], Plan(users=("accumulator", "indexer"))),
        (["control"], Plan(users=("control",), certificates=("control",))),
        (["certificates"], Plan(certificates=FILES)),
        (["certificate:indexer@producer"], Plan(certificates=("indexer@producer",))),
        (["cluster"], Plan(certificates=("kafka@producer", "kafka@consumer"))),
        (["proxy", "slack"], Plan(certificates=("elasticsearch-proxy@consumer",), slack=True)),
        (["authority"], Plan(certificates=FILES, authority=True)),
        (["ssh-key"], Plan(ssh_key=True)),
        (["all"], Plan(tuple(USERS), FILES, authority=True, ssh_key=True, slack=True, receivers=True)),
    ],
)
def test_words_become_a_plan(what: list[str], wanted: Plan) -> None:
    assert plan(INVENTORY, what) == wanted


@pytest.mark.parametrize("word", ["everything", "password:root", "certificate:kafka@elsewhere", "password:", ""])
def test_what_there_is_not_is_named_with_what_there_is(word: str) -> None:
    with pytest.raises(ConfigError, match=r"there is no .* There are: .*(passwords|indexer|kafka@producer)"):
        plan(INVENTORY, [word])


def test_what_is_restarted_for_each() -> None:
    def restarts(*what: str) -> list[list[str]]:
        return [[str(one) for one in step.restarts] for step in rounds(plan(INVENTORY, what), INVENTORY)]

    assert restarts("password:accumulator") == [[f"accumulator{number}@producer" for number in (1, 2, 3)]]
    assert restarts("control", "ssh-key") == [[], []]
    assert restarts("cluster") == [["kafka@producer", "kafka@consumer"]]
    assert restarts("certificate:indexer@producer") == [["indexer@producer"]]
    assert restarts("slack") == [["notifier@consumer", "notifier@producer"]]
    trust, sign, forget = restarts("authority")
    assert trust == forget
    assert sign == ["kafka@producer", "kafka@consumer", "elasticsearch-proxy@consumer", "indexer@producer"]


@given(st.lists(st.sampled_from([*Subject, "password:matcher", "certificate:kafka@consumer"]), max_size=4))
def test_passwords_come_before_kafka_is_restarted_and_the_authority_last(what: list[str]) -> None:
    packages = Software.PACKAGES
    steps = [step.step for step in rounds(plan(INVENTORY, what, packages), INVENTORY, packages)]
    assert steps == sorted(steps, key=list(Step).index)
    assert len(set(steps)) + steps.count(Step.PASSWORD) - (Step.PASSWORD in steps) == len(steps)
    assert not (Step.SIGN in steps and Step.CERTIFICATES in steps)


def test_packages_have_keys_of_their_own_and_an_embedded_elasticsearch_has_none() -> None:
    inventory = parse(two_machines(kibana=True), "test")

    def restarts(*what: str) -> list[list[str]]:
        wanted = plan(inventory, what, Software.PACKAGES)
        return [[str(one) for one in step.restarts] for step in rounds(wanted, inventory, Software.PACKAGES)]

    (keys,) = restarts("elasticsearch")
    assert "kibana@consumer" in keys
    assert "indexer@producer" in keys
    assert not [one for one in keys if one.startswith(("elasticsearch", "kafka"))], (
        "no running server reads its password"
    )
    assert restarts("kibana-keys") == [["kibana@consumer"]]
    assert restarts("proxy") == [["elasticsearch@consumer", "kibana@consumer"]]
    trust, sign, _ = restarts("authority")
    assert {"elasticsearch@consumer", "kibana@consumer"} < set(trust)
    assert set(sign) == {"kafka@producer", "kafka@consumer", "elasticsearch@consumer", "kibana@consumer"}
    assert not plan(inventory, ["all"], Software.PACKAGES).kibana_keys
    for subject in ("elasticsearch", "kibana-keys"):
        with pytest.raises(ConfigError, match="embedded"):
            plan(inventory, [subject])


def test_every_secret_that_machines_are_given_is_rotated_by_all(tmp_path: Path) -> None:
    """A new one that no rotation knows fails here."""
    tokens = dict.fromkeys(SLACK_TOKENS, SecretStr("x"))
    machines = SimulatedMachines(World(INVENTORY), tmp_path, Settings(home=tmp_path).model_copy(update=tokens))
    for name in INVENTORY.machines:
        changed = {entry for step in rounds(plan(INVENTORY, ["all"]), INVENTORY) for entry in step.changes[name]}
        changed.discard(f"credentials/notifier.{ANY}")
        assert changed == set(entries_of(secrets_of(machines, name, settings_too=True)))
    assert set(certificates_of(INVENTORY)) < set(FILES)
