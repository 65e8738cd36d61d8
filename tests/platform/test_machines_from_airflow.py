"""Two machines from the form in Airflow: plan, approval, services in order, an alert; again; taken down."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.local.down import down
from infra.local.isolated import as_environment
from infra.local.layout import Layout
from infra.local.sweep import marked
from infra.machines import known
from infra.machines.as_target import target_of
from infra.service_manager import RunState
from streaming.elastic.connection import Connection
from streaming.elastic.query import parse_query
from streaming.elastic.search import LogSearch
from streaming.forward.sender import ForwardSender
from streaming.settings import Settings
from tests.support.fake_slack import CHANNEL, TOKEN, FakeSlack
from tests.support.platform import Platform, vigil, wait_until
from tests.support.virtualbox import deployed, host, namespaces, terraform
from tests.support.virtualbox.deployed import Place
from tests.support.virtualbox.network import namespace_of

pytestmark = [
    pytest.mark.timeout(1200),
    pytest.mark.skipif(terraform.engine() is None, reason="neither terraform nor tofu is installed"),
]

DEPLOYS_WITHIN_S = 600
"""What is promised on two cores, once the base image is there."""

SLACK = ("10.77.0.1", 8081)
"""The gateway of the machines' network: where they reach a Slack that is none."""

READS_FOR_S = 5.0
"""See `Room.approve`."""


@dataclass
class Room:
    """Airflow alone, on an emulated host with VirtualBox."""

    place: Place
    platform: Platform
    client: httpx.Client

    def trigger(self, dag: str, **conf: object) -> str:
        """Path of a new run."""
        made = self.client.post(f"/api/v2/dags/{dag}/dagRuns", json={"logical_date": None, "conf": conf})
        return f"/api/v2/dags/{dag}/dagRuns/{made.raise_for_status().json()['dag_run_id']}"

    def states(self, run: str) -> dict[str, str]:
        """Of its tasks."""
        found = self.client.get(f"{run}/taskInstances?limit=200").raise_for_status().json()["task_instances"]
        return {task["task_id"]: task["state"] for task in found}

    def log(self, run: str, task: str) -> str:
        """Of a task's last attempt."""
        tries = self.client.get(f"{run}/taskInstances/{task}").raise_for_status().json()["try_number"]
        return self.client.get(f"{run}/taskInstances/{task}/logs/{tries}?full_content=true").text

    def await_task(self, run: str, task: str, states: tuple[str, ...], within_s: float = 300) -> None:
        """Until it is in one of them."""

        def look() -> bool:
            found = self.states(run)
            failed = [name for name, state in found.items() if state == "failed"]
            assert not failed or "failed" in states, "\n".join(self.log(run, name)[-6000:] for name in failed)
            return found.get(task) in states

        wait_until(look, within_s, f"{task} is {' or '.join(states)}")

    def end(self, run: str, within_s: float = DEPLOYS_WITHIN_S) -> dict[str, str]:
        """Waits for its success; the states of its tasks."""

        def ended() -> bool:
            return self.client.get(run).raise_for_status().json()["state"] in ("success", "failed")

        wait_until(ended, within_s, f"{run} has ended")
        found = self.states(run)
        failed = [name for name, state in found.items() if state == "failed"]
        assert not failed, "\n".join(f"{name}: {self.log(run, name)[-6000:]}" for name in failed)
        return found

    def approve(self, run: str) -> Mapping[str, str]:
        """Waits for the question, and says yes as a person would; the question.

        An answer in the second in which the task begins to wait is lost: Airflow (3.3.2) takes the task for one that
        was ended from outside, and asks once more.
        """
        self.await_task(run, "approve", ("awaiting_input",))
        since = time.monotonic()
        wait_until(lambda: time.monotonic() - since > READS_FOR_S, READS_FOR_S + 5, "a person has read the question")
        detail = f"{run}/taskInstances/approve/-1/hitlDetails"
        asked: Mapping[str, str] = self.client.get(detail).raise_for_status().json()
        self.client.patch(detail, json={"chosen_options": ["Approve"], "params_input": {}}).raise_for_status()
        self.await_task(run, "approve", ("success",))
        return asked


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with ExitStack() as ends:
        try:
            place = ends.enter_context(deployed.emulated(tmp_path))
        except host.HostUnavailable as error:
            pytest.skip(str(error))
        slack_of = {
            "SLACK_BOT_TOKEN": TOKEN,
            "SLACK_CHANNEL": CHANNEL,
            "SLACK_API_URL": f"http://{SLACK[0]}:{SLACK[1]}/api/",
        }
        environment = os.environ | as_environment(place.settings) | slack_of | {"COLUMNS": "200"}
        ends.callback(_stop, place.settings)
        said = vigil(environment, "up", "--no-deploy", timeout_s=240)
        platform = Platform(place.settings, environment, None, said)  # type: ignore[arg-type]  # there is none yet
        platform.pause_schedules()
        yield Room(place, platform, ends.enter_context(platform.airflow()))


def _stop(settings: Settings) -> None:
    down(settings, lambda _: None)
    assert marked(Layout(settings.home)) == []


def deploy(room: Room, ends: ExitStack) -> FakeSlack:
    """A first deployment, from the form to its end; the Slack that the machines tell."""
    began = time.monotonic()
    image = room.place.wanted.image
    run = room.trigger("deploy_platform", target="virtualbox", image=image.source, image_checksum=image.checksum)
    asked = room.approve(run)
    assert "| **make** | machine producer |" in asked["body"]
    room.await_task(run, "apply", ("success",))
    slack = ends.enter_context(closing(_slack(room)))
    states = room.end(run)
    print(f"deployed in {time.monotonic() - began:.0f} s")
    skipped = {name for name, state in states.items() if state == "skipped"}
    assert skipped == {"take_inventory", "start_kibana", "import_kibana_objects"}
    assert "Vigil's own screen" in room.log(run, "start_kibana")
    room.place.machines = known.machines(room.place.settings, "vigil")
    assert {status.state for status in room.place.machines.manager.all()} == {RunState.RUNNING}
    return slack


def log_an_error(room: Room, message: str) -> None:
    """On the producer machine."""
    assert room.place.machines is not None
    with room.place.machines.connections.forward("producer", room.place.settings.accumulator1_port) as port:
        sender = ForwardSender("127.0.0.1", port)
        record = {"log_level": "ERROR", "message": message, "service_name": "payment", "node_id": "p-1"}
        sender.send("logs.payment", [(time.time_ns(), record)])
        sender.close()


def found(room: Room, message: str) -> int:
    """How many documents there are of it."""
    target = target_of(room.place.settings, "vigil")
    try:
        with closing(Connection(target.settings.elastic)) as connection:
            search = LogSearch(connection, target.settings.index_prefix)
            return search.find(parse_query(f'"{message}"', time.time_ns() // 1_000_000), limit=1).total
    finally:
        target.close()


def test_an_error_of_one_machine_is_told_by_the_other(room: Room) -> None:
    message = "the error of a test that the other machine tells"
    with ExitStack() as ends:
        slack = deploy(room, ends)
        log_an_error(room, message)
        wait_until(lambda: any(message in m.everything for m in slack.messages), 60, "Slack was told")
        wait_until(lambda: found(room, message) == 1, 60, "it can be searched for")
    assert files_with_secrets(room) == []


def files_with_secrets(room: Room) -> list[str]:
    """What this host keeps and shows that holds a secret of the deployment: Airflow's database with its XComs and the
    forms, task logs, Terraform's state, variables, plans, consoles; but for the store of secrets itself."""
    machines, home = room.place.machines, room.place.settings.home
    assert machines is not None
    hidden = [value.encode() for value in machines.store.values()]
    assert len(hidden) > 10
    # The machines' disks hold what they were given; of their folders the consoles alone are looked at.
    apart = {machines.folder / "secrets", machines.folder / "machines", home / "jars", home / "software"}
    files = [file for file in home.rglob("*") if file.is_file() and not apart.intersection(file.parents)]
    files += list((machines.folder / "machines").glob("*/serial.log*"))
    assert home / "airflow" / "airflow.db" in files
    assert [file for file in files if file.name.startswith("attempt=")]
    assert [file for file in files if file.name == "serial.log"]
    contents = ((file, file.read_bytes()) for file in files if file.exists())
    return [str(file) for file, content in contents if any(value in content for value in hidden)]


@pytest.mark.slow
def test_again_changes_nothing_and_the_end_leaves_nothing(room: Room) -> None:
    with ExitStack() as ends:
        deploy(room, ends)
        machines = room.place.machines
        assert machines is not None
        before = {status.name: status.started_ms for status in machines.manager.all()}
        again = room.trigger("deploy_platform", target="virtualbox")
        room.end(again)
        assert "nobody is asked" in room.log(again, "approve")
        assert json.dumps(room.log(again, "configure_machines")).count("nothing is changed") == 2
        assert {status.name: status.started_ms for status in machines.manager.all()} == before

        end = room.trigger("teardown_platform", target="virtualbox", export=True)
        asked = room.approve(end)
        assert "Lost for good" in asked["body"]
        room.end(end)
    room.place.box.assert_empty()
    assert not known.names(room.place.settings)
    assert [file.name for file in room.place.deployment.folder.iterdir()] == ["exports"]


def _slack(room: Room) -> FakeSlack:
    """One that the machines reach."""
    around = room.place.around
    assert around is not None
    with namespaces.inside(namespace_of(around.name, "vigil")):
        return FakeSlack(address=SLACK)
