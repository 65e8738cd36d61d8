"""Rotations of machines in memory: what is restarted, that nothing is cut off, and that any failure is repaired."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.machines.certificates import AUTHORITY_DAYS, LEAF_DAYS, Change, utc_now
from infra.machines.kafka.rights import USERS
from infra.machines.kibana_configuration import ENCRYPTION_KEYS
from infra.machines.placement import Instance
from infra.machines.programs import Software
from infra.machines.rotation import rotate
from infra.machines.rotation.rotate import Rotated, renew
from infra.machines.rotation.subjects import Plan, plan
from infra.machines.secret_store import SecretStore
from infra.service_manager import RunState
from streaming.errors import Unavailable
from streaming.settings import Settings
from tests.support.inventories import inventory
from tests.support.simulated_rotation import Broken, SimulatedMachines, World, open_gates

EVERYTHING = ["passwords", "authority"]


@pytest.fixture(autouse=True)
def healthy(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return open_gates(monkeypatch)


class Lab:
    """A deployment that runs, and its clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.days, self.said = folder, 0.0, list[str]()
        self.world = World(inventory())
        self.machines().deploy()

    def machines(self, settings: Settings | None = None) -> SimulatedMachines:
        made = SimulatedMachines(self.world, self.folder, settings)
        made.__dict__["store"] = SecretStore(
            self.folder / "secrets", "vigil", lambda: utc_now() + timedelta(days=self.days)
        )
        return made

    def rotate(self, *what: str, settings: Settings | None = None) -> Rotated:
        machines = self.machines(settings)
        self.world.restarted.clear()
        return rotate.rotate(machines, plan(machines.inventory, what), self.said.append)

    def renew(self, within_days: float | None = None) -> Rotated:
        self.world.restarted.clear()
        return renew(self.machines(), self.said.append, within_days)

    @property
    def settled(self) -> bool:
        return self.world.settled(self.machines())


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_only_who_has_the_password_is_restarted(lab: Lab) -> None:
    before = dict(lab.world.kafka)
    done = lab.rotate("password:matcher")
    assert done.restarted == ("matcher@consumer", "matcher@producer")
    assert {user for user in USERS if lab.world.kafka[user] != before[user]} == {"matcher"}
    assert lab.settled
    assert lab.rotate("control").restarted == ()
    assert lab.world.kafka["control"] != before["control"]
    assert lab.settled
    assert not any(secret in "\n".join(lab.said) for secret in lab.machines().store.values())


def test_each_service_is_healthy_before_the_next_and_brokers_have_all_copies(lab: Lab, healthy: list[str]) -> None:
    lab.rotate("certificates")
    assert lab.world.restarted == [
        "kafka@producer",
        "kafka@consumer",
        "elasticsearch-proxy@consumer",
        "indexer@producer",
    ]
    assert healthy == [
        *("copies", "kafka@producer", "copies", "kafka@consumer", "elasticsearch-proxy@consumer", "indexer@producer"),
        "everything",
    ]
    assert lab.settled


def test_another_authority_cuts_nothing_off_and_in_the_end_the_old_one_is_trusted_by_none(lab: Lab) -> None:
    old = lab.machines().store.issuer.certificate.decode()
    done = lab.rotate("authority")
    assert lab.settled
    assert done.restarted.count("kafka@consumer") == 3
    assert done.restarted.count("matcher@producer") == 2
    assert "order@producer" not in done.restarted
    assert not [one for one, has in lab.world.loaded.items() if "matcher" in one.service and old in has["files/ca.pem"]]
    assert lab.machines().store.issuer.change is Change.NONE


def calls_of(folder: Path, *what: str) -> int:
    """How many calls to machines a rotation makes."""
    lab = Lab(folder / "counted")
    before = lab.world.calls
    lab.rotate(*what)
    return lab.world.calls - before


@pytest.mark.parametrize("every", [43, pytest.param(2, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_a_failure_at_any_call_is_repaired_by_running_it_again(tmp_path: Path, every: int) -> None:
    calls = calls_of(tmp_path, *EVERYTHING)
    assert calls > 60
    for number in range(3, calls + 1, every):
        lab = Lab(tmp_path / str(number))
        lab.world.fail_at, lab.world.fails_after = lab.world.calls + number, number % 4 == 0
        with pytest.raises(Broken):
            lab.rotate(*EVERYTHING)
        if number % 3 == 0:  # by what the DAG does every day
            lab.renew()
            assert lab.settled, number
        lab.rotate(*EVERYTHING)
        assert lab.settled, number


def test_what_was_broken_off_is_finished_by_the_daily_renewal(tmp_path: Path) -> None:
    for number in range(3, calls_of(tmp_path, "authority"), 25):
        lab = Lab(tmp_path / str(number))
        lab.world.fail_at = lab.world.calls + number
        with pytest.raises(Broken):
            lab.rotate("authority")
        lab.renew()
        assert lab.settled, number
        assert lab.renew().is_empty


def test_what_is_not_due_is_left_and_no_machine_is_asked(lab: Lab) -> None:
    lab.days = LEAF_DAYS * 2 / 3 - 1
    calls = lab.world.calls
    assert lab.renew().is_empty
    assert lab.world.calls == calls
    issued = ("kafka@producer", "kafka@consumer", "elasticsearch-proxy@consumer", "indexer@producer", "control")
    assert lab.renew(within_days=32).plan.certificates == issued
    assert lab.settled
    assert lab.renew().is_empty


def test_what_is_due_is_renewed_and_only_its_readers_restarted(lab: Lab) -> None:
    lab.days = LEAF_DAYS / 2
    lab.rotate("cluster")
    lab.days = LEAF_DAYS * 2 / 3 + 1
    done = lab.renew()
    assert done.plan.certificates == ("elasticsearch-proxy@consumer", "indexer@producer", "control")
    assert done.restarted == ("elasticsearch-proxy@consumer", "indexer@producer")
    assert lab.settled


def test_expired_certificates_are_renewed_without_a_gate_between_brokers_that_cannot_meet(
    lab: Lab, healthy: list[str]
) -> None:
    lab.days = LEAF_DAYS + 1
    with pytest.raises(Unavailable, match=r"expired.*renew"):
        lab.rotate("passwords")
    done = lab.renew()
    assert done.restarted[:2] == ("kafka@producer", "kafka@consumer")
    assert healthy == ["elasticsearch-proxy@consumer", "indexer@producer", "everything"]
    assert lab.settled
    lab.rotate("passwords")


def test_a_password_that_was_begun_waits_until_kafka_is_not_cut_off(lab: Lab) -> None:
    lab.machines().store.next_passwords(["indexer"])
    lab.days = LEAF_DAYS + 1
    assert lab.renew().plan.users == ()
    assert lab.renew().plan.users == ("indexer",)
    assert lab.settled
    lab.machines().pending.add("producer", ["templates"])
    assert lab.renew().restarted == ("templates@producer",)
    assert "left to restart" in "\n".join(lab.said)


def test_so_is_an_authority_that_expired(lab: Lab) -> None:
    lab.days, lab.world.cut_off = AUTHORITY_DAYS + 1, True
    done = lab.renew()
    assert done.plan.authority
    assert lab.settled
    assert lab.renew().is_empty
    lab.days -= 365 * 3
    assert lab.renew().is_empty


def test_slack_gets_what_the_settings_have_and_nobody_else_is_restarted(lab: Lab) -> None:
    settings = Settings(home=lab.folder).model_copy(update={"slack_bot_token": SecretStr("xoxb-fresh")})
    assert lab.rotate("password:templates", settings=settings).restarted == ("templates@producer",)
    assert "credentials/notifier.slack_bot_token" not in lab.world.disks["producer"]
    assert lab.rotate("slack", settings=settings).restarted == ("notifier@consumer", "notifier@producer")
    assert lab.world.disks["producer"]["credentials/notifier.slack_bot_token"] == "xoxb-fresh"
    with pytest.raises(Unavailable, match="no Slack token"):
        lab.rotate("slack")


RULES = """
receivers:
  - {name: ops, kind: webhook, url: {env: OPS_URL}, secret: {env: OPS_KEY}}
  - {name: desk, kind: slack, channel: C1}
"""


def test_receivers_get_what_the_environment_has_and_keep_it_where_another_has_not(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    settings = Settings(home=lab.folder, rules_path=str(tmp_path / "rules.yaml"))
    with pytest.raises(Unavailable, match="no receiver"):
        lab.rotate("receivers", settings=settings)
    monkeypatch.setenv("OPS_URL", "https://hooks.test/hush")
    assert lab.rotate("receivers", settings=settings).restarted == ("notifier@consumer", "notifier@producer")
    assert lab.world.disks["producer"]["credentials/notifier.OPS_URL"] == "https://hooks.test/hush"
    assert "https://hooks.test/hush" in lab.machines().store.values()
    monkeypatch.delenv("OPS_URL")
    lab.rotate("password:notifier", settings=settings)
    assert lab.machines(settings).receiver_secrets(take=True) == {"OPS_URL": "https://hooks.test/hush"}
    monkeypatch.setenv("OPS_URL", "https://hooks.test/another")
    lab.rotate("receivers", settings=settings)
    assert lab.world.disks["consumer"]["credentials/notifier.OPS_URL"] == "https://hooks.test/another"
    assert "hooks.test" not in "".join(lab.said)


def test_what_is_stopped_stays_so_and_has_it_when_it_is_started(lab: Lab) -> None:
    loadgen = Instance("templates", "producer")
    lab.world.states[loadgen] = RunState.STOPPED
    del lab.world.loaded[loadgen]
    assert lab.rotate("password:templates").restarted == ()
    lab.world.start(loadgen)
    assert lab.settled
    lab.world.states[loadgen] = RunState.FAILED
    assert lab.rotate("password:templates").restarted == ("templates@producer",)


class Security:
    """Of a packaged Elasticsearch: what it was asked, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., str | None]:
        def ask(*arguments: str) -> str | None:
            self.asked.append(" ".join([name, *arguments]))
            return "first" if name == "renew_kibana_token" else None

        return ask


def test_keys_of_a_packaged_elasticsearch_are_retired_when_the_new_ones_are_in_use(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    security = Security()
    monkeypatch.setattr(rotate, "security_of", lambda *_: security)
    machines = lab.machines()
    machines.software = Software.PACKAGES
    monkeypatch.setattr(rotate, "deliver", lambda *_, **__: security.asked.append("delivered"))
    monkeypatch.setattr(rotate, "restart_waiting", lambda *_, **__: ())
    wanted = plan(machines.inventory, ["elasticsearch", "kibana-keys"], Software.PACKAGES)
    rotate.rotate(machines, wanted, lab.said.append)
    first, last = security.asked.index("renew_kibana_token"), security.asked.index("retire_old_keys")
    assert security.asked[:2] == ["await_ready", "renew_password"]
    assert "renew_key indexer" in security.asked[:first]
    assert security.asked[first:last] == ["renew_kibana_token", "delivered"]
    assert security.asked[last:] == ["retire_old_keys", "remove_kibana_token first", "delivered"]
    assert machines.store.elastic.secret(rotate.OLD_TOKEN_NAME) is None
    kept = {machines.store.elastic.secret(f"kibana/{name}") for name in ENCRYPTION_KEYS}
    assert len(kept) == 3
    assert None not in kept


def test_one_at_a_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[str] = []

    def meanwhile(*_: object) -> None:
        with pytest.raises(Unavailable, match="another process") as error:
            lab.renew()
        refused.append(str(error.value))

    monkeypatch.setattr(rotate, "await_everything", meanwhile)
    lab.rotate("password:templates")
    assert len(refused) == 1


def test_a_machine_that_is_away_is_found_before_anything_changes(lab: Lab) -> None:
    before = lab.machines().store.values()
    lab.world.fail_at = lab.world.calls + 2
    with pytest.raises(Broken):
        lab.rotate(*EVERYTHING)
    assert lab.machines().store.values() == before
    assert Plan() == plan(inventory(), [])
