"""From a log in Kafka to a message in Slack, with real processes and a real Kafka."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from streaming.alerting.messages import IncidentState
from streaming.alerting.receipts import read_receipts
from streaming.cli.incidents import incidents_app
from streaming.heartbeat.messages import NodeStatus
from streaming.heartbeat.states import State

if TYPE_CHECKING:
    from tests.support.alert_path import AlertPath
    from tests.support.fake_slack import FakeSlack

WaitUntil = Callable[[Callable[[], object], float, str], object]


def test_an_error_is_a_message_within_a_second(alert_path: AlertPath, slack: FakeSlack) -> None:
    alert_path.start()
    took = []
    for number in range(1, 4):
        at = time.time()
        alert_path.log(f"E{number}", message="<!channel> no money")
        alert_path.flush()
        alert_path.await_all(lambda: slack.messages, number)
        took.append(slack.messages[-1].at - at)
    assert sorted(took)[1] < 1.0, took
    message = slack.messages[0]
    assert "order E1: &lt;!channel&gt; no money" in message.text
    assert message.metadata is not None
    assert message.metadata["event_type"] == "vigil_incident"
    receipts = read_receipts(alert_path.settings)
    assert [(r.receiver, r.message_id) for r in receipts] == [("slack", m.ts) for m in slack.messages]


def test_500_errors_of_one_group_are_one_message(alert_path: AlertPath, slack: FakeSlack) -> None:
    alert_path.start()
    for _ in range(500):
        alert_path.log("E1")
    for _ in range(50):
        alert_path.log("E1", level="INFO")
        alert_path.log("E1", service="vigil-notifier")
    alert_path.await_counts({"E1": 500})
    alert_path.log("E2")
    alert_path.await_all(lambda: slack.messages, 2)
    assert ["E1" in m.text for m in slack.messages] == [True, False]


def test_sigkill_of_anything_at_any_time_neither_doubles_nor_loses(alert_path: AlertPath, slack: FakeSlack) -> None:
    slack.limited = False
    alert_path.start()
    position = 0
    expected: dict[str, int] = {}
    for turn, victim in enumerate(("matcher", "manager", "notifier", "matcher", "notifier", "manager")):
        for _ in range(300):
            position += 1
            code = f"E{turn}-{position % 2}"
            alert_path.log_at(position, code)
            expected[code] = expected.get(code, 0) + 1
        # An accumulator that crashed produces its last chunks again.
        for repeated in range(position - 20, position + 1):
            alert_path.log_at(repeated, f"E{turn}-{repeated % 2}")
        alert_path.kill(victim)
        alert_path.launch(victim)
    alert_path.flush()
    alert_path.await_counts(expected, 60)
    alert_path.await_all(lambda: slack.messages, len(expected), 60)
    for name in ("matcher", "manager", "notifier"):
        alert_path.await_healthy(name)
    assert alert_path.counts() == expected
    titles = sorted(m.text for m in slack.messages)
    assert len(set(titles)) == len(titles) == len(expected)


def test_a_notifier_killed_between_post_and_receipt_posts_once(
    alert_path: AlertPath, slack: FakeSlack, wait_until: WaitUntil
) -> None:
    alert_path.start()
    slack.faults.delay_s = 3.0
    alert_path.log("E1")
    alert_path.flush()
    # Slack has it and has not answered yet.
    alert_path.await_all(lambda: slack.messages, 1)
    alert_path.kill("notifier")
    assert read_receipts(alert_path.settings) == []
    slack.faults.delay_s = 0.0
    alert_path.start("notifier")
    wait_until(lambda: read_receipts(alert_path.settings), 20, "the receipt")
    (message,) = slack.messages
    assert read_receipts(alert_path.settings)[0].message_id == message.ts
    assert "conversations.history" in slack.calls


def test_slack_that_limits_or_cuts_delays_but_neither_doubles_nor_loses(
    alert_path: AlertPath, slack: FakeSlack
) -> None:
    alert_path.start()
    slack.faults.retry_after_s = 1
    slack.faults.cut_after = 2
    slack.faults.errors = ["internal_error"]
    for number in range(6):
        alert_path.log(f"E{number}")
    alert_path.await_all(lambda: slack.messages, 6)
    alert_path.await_all(lambda: read_receipts(alert_path.settings), 6)
    assert len(slack.messages) == 6
    assert sorted(m.text.split()[3] for m in slack.messages) == [f"E{n}:" for n in range(6)]


def test_a_bad_token_shows_in_the_health_answer_and_loses_nothing(
    alert_path: AlertPath, slack: FakeSlack, wait_until: WaitUntil
) -> None:
    slack.token = "xoxb-renewed"
    alert_path.start("matcher", "manager")
    alert_path.launch("notifier")
    wait_until(lambda: "invalid_auth" in json.dumps(alert_path.health("notifier")), 20, "health says invalid_auth")
    assert alert_path.health("notifier")["healthy"] is False
    alert_path.log("E1")
    slack.token = "xoxb-test"
    alert_path.await_all(lambda: slack.messages, 1, 40)
    alert_path.await_healthy("notifier")


def test_quiet_resolves_with_a_reply_in_the_thread_and_a_return_reopens(
    alert_path: AlertPath, slack: FakeSlack
) -> None:
    alert_path.write_rules(alert_path.rules.read_text().replace("10m", "1s"))
    alert_path.start()
    alert_path.log("E1")
    alert_path.await_all(lambda: slack.replies, 1)
    (message,), (reply,) = slack.messages, slack.replies
    assert reply.thread_ts == message.ts
    assert "RESOLVED" in message.text
    alert_path.log("E1")
    alert_path.await_all(lambda: slack.messages, 2)
    (incident,) = alert_path.incidents()
    assert (incident.reopened, incident.count) == (1, 2)


def test_a_node_that_is_down_is_one_incident_that_up_resolves(alert_path: AlertPath, slack: FakeSlack) -> None:
    alert_path.start("manager", "notifier")

    def says(state: State) -> None:
        now_ms = time.time_ns() // 1_000_000
        alert_path.node_status(
            NodeStatus(
                node_id="n1",
                service="order",
                state=state,
                at_ms=now_ms,
                last_beat_ms=now_ms,
                silent_for_ms=10_000,
                reason="silent for 10 s",
            )
        )

    says(State.DOWN)
    alert_path.await_all(lambda: slack.messages, 1)
    assert "n1 is DOWN: silent for 10 s" in slack.messages[0].text
    says(State.UP)
    alert_path.await_all(lambda: slack.replies, 1)


def test_a_broken_rule_file_keeps_the_last_good_set_and_is_an_incident(
    alert_path: AlertPath, slack: FakeSlack, wait_until: WaitUntil
) -> None:
    good = alert_path.rules.read_text()
    alert_path.start()
    alert_path.write_rules(good.replace("severity: error", "severity: eror"))
    alert_path.await_all(lambda: slack.messages, 1)
    assert "rules.yaml:9: rules[0].severity" in slack.messages[0].text
    # The last good set survives a restart with the file still broken.
    alert_path.kill("matcher")
    alert_path.kill("manager")
    alert_path.start("matcher", "manager")
    alert_path.log("E1")
    alert_path.await_all(lambda: slack.messages, 2)
    assert "order E1" in slack.messages[1].text
    alert_path.write_rules(good)
    alert_path.await_all(lambda: slack.replies, 1)
    assert slack.replies[0].thread_ts == slack.messages[0].ts


def test_without_a_last_good_set_a_broken_file_is_refused(alert_path: AlertPath) -> None:
    alert_path.write_rules("rules:\n  - id: a\n    kind: matc\n")
    for name in ("matcher", "manager"):
        assert alert_path.launch(name).wait(30) == 78
        last = alert_path.output(name).strip().splitlines()[-1]
        assert f"{alert_path.rules}:3: rules[0].kind: 'matc' is no kind of rule. Did you mean match?" in last


def test_two_matchers_share_the_work_and_count_everything_once(alert_path: AlertPath) -> None:
    alert_path.start("matcher", "manager")
    for _ in range(400):
        alert_path.log("E1")
    # The second one joins in the middle.
    alert_path.launch("matcher", 1)
    for _ in range(1500):
        alert_path.log("E1")
    alert_path.flush()
    alert_path.await_healthy("matcher", 1)
    for _ in range(100):
        alert_path.log("E1")
    alert_path.flush()
    alert_path.await_counts({"E1": 2000})


def test_a_slot_that_is_started_twice_is_told_so(alert_path: AlertPath) -> None:
    alert_path.start("matcher")
    first = alert_path._running["matcher", 0]
    environment = alert_path.environment | {"VIGIL_HEALTH_PORT_BASE": str(alert_path.settings.health_port_base + 40)}
    alert_path.environment = environment
    alert_path.launch("matcher")
    alert_path.log("E1")
    alert_path.flush()
    assert first.wait(30) == 75
    assert "is it started twice?" in alert_path.output("matcher")


def _the_active_one(alert_path: AlertPath, wait_until: WaitUntil) -> int:
    """The slot of two managers that is active; waits while the group is dealt anew, when neither or both say so."""
    active: list[int] = []

    def is_one() -> bool:
        healths = {slot: json.dumps(alert_path.health("manager", slot)) for slot in (0, 1)}
        active[:] = [slot for slot, health in healths.items() if '"detail": "active"' in health]
        return len(active) == 1

    wait_until(is_one, 30, "one of them is active")
    return active[0]


def test_a_standby_manager_takes_over(alert_path: AlertPath, wait_until: WaitUntil) -> None:
    alert_path.start("matcher", "manager")
    alert_path.start("manager", slot=1)
    alert_path.log("E1")
    alert_path.await_counts({"E1": 1})
    alert_path.kill("manager", _the_active_one(alert_path, wait_until))
    alert_path.log("E1")
    alert_path.await_counts({"E1": 2}, 40)


def test_a_manager_that_stood_still_is_fenced_and_writes_nothing_more(
    alert_path: AlertPath, wait_until: WaitUntil
) -> None:
    alert_path.start("matcher", "manager")
    alert_path.start("manager", slot=1)
    alert_path.log("E1")
    alert_path.await_counts({"E1": 1})
    paused = alert_path.process("manager", _the_active_one(alert_path, wait_until))
    paused.send_signal(signal.SIGSTOP)
    try:
        alert_path.log("E1")
        alert_path.await_counts({"E1": 2}, 40)
    finally:
        paused.send_signal(signal.SIGCONT)
    alert_path.log("E1")
    alert_path.await_counts({"E1": 3}, 40)
    # It ended, stands by, or has the partitions again by a rebalance; never are there two for longer than a moment.
    _the_active_one(alert_path, wait_until)
    assert paused.poll() in (None, 75)
    assert [incident.count for incident in alert_path.incidents()] == [3]


def test_the_command_line_lists_shows_and_acknowledges(
    alert_path: AlertPath, slack: FakeSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert_path.start()
    alert_path.log("E1", message="\x1b[31mred")
    alert_path.await_all(lambda: read_receipts(alert_path.settings), 1)
    for name, value in alert_path.environment.items():
        monkeypatch.setenv(name, value)
    run = CliRunner()
    (listed,) = json.loads(run.invoke(incidents_app, ["--json"]).stdout)
    shown = run.invoke(incidents_app, ["show", listed["incident_id"]]).stdout
    assert "\\x1b[31mred" in shown
    assert "\x1b" not in shown
    assert "open to slack" in shown

    from streaming.cli.orders import ack

    ack([listed["incident_id"][:6]], author="ann", reason="on it")
    alert_path.await_all(lambda: [m for m in slack.messages if "by ann" in m.everything], 1)
    assert alert_path.incidents()[0].state is IncidentState.ACKNOWLEDGED
    assert json.loads(run.invoke(incidents_app, ["--json", "--state", "resolved"]).stdout) == []


def test_all_in_one_process(alert_path: AlertPath, slack: FakeSlack, launch: Callable[..., object]) -> None:
    launch("streaming.alerting_system", environment=alert_path.environment)
    alert_path._wait(lambda: alert_path.health("alerting-system").get("healthy"), 30, "healthy")
    alert_path.log("E1")
    alert_path.await_all(lambda: slack.messages, 1)
