"""The manager of services against a real supervisor."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable

import psutil
import pytest

from infra.local.layout import Layout
from infra.local.supervisor import SupervisorManager, is_running
from infra.local.sweep import marked, sweep
from infra.service_manager import RunState
from streaming.errors import Unavailable

Wait = Callable[[Callable[[], object]], None]


def test_start_and_stop_are_idempotent(manager: SupervisorManager, wait: Wait) -> None:
    assert manager.status("sleeper").state is RunState.STOPPED
    manager.stop("sleeper")
    manager.start("sleeper")
    manager.start("sleeper")
    first = manager.status("sleeper")
    assert first.state in (RunState.STARTING, RunState.RUNNING)
    assert first.pid is not None
    manager.restart("sleeper")
    assert manager.status("sleeper").pid != first.pid
    manager.stop("sleeper")
    assert manager.status("sleeper") == manager.statuses(["sleeper"])[0]
    assert manager.status("sleeper").state is RunState.STOPPED
    wait(lambda: not psutil.pid_exists(first.pid or 0))


def test_a_killed_program_comes_back_by_itself(manager: SupervisorManager, layout: Layout, wait: Wait) -> None:
    manager.start("sleeper")
    wait(lambda: layout.text_log("sleeper").read_text() == "up\n")
    killed = manager.status("sleeper").pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    wait(lambda: manager.status("sleeper").pid not in (killed, None))


def test_one_that_fails_is_tried_again_and_says_what_it_said(
    manager: SupervisorManager, layout: Layout, wait: Wait
) -> None:
    manager.start("failing")
    wait(lambda: manager.status("failing").pid is None)
    found = manager.status("failing")
    assert found.state is RunState.STARTING
    assert "status 3" in found.detail
    assert "no broker at 127.0.0.1:1" in found.detail
    assert str(layout.json_log("failing")) in found.detail
    wait(lambda: layout.json_log("failing").read_text().count("no broker") >= 2)
    manager.start("failing")  # at once, whatever wait it is in
    manager.stop("failing")
    assert manager.status("failing").state is RunState.STOPPED


def test_a_configuration_error_is_a_failure(manager: SupervisorManager, wait: Wait) -> None:
    manager.start("misconfigured")
    wait(lambda: manager.status("misconfigured").pid is None)
    wait(lambda: manager.status("misconfigured").state is RunState.FAILED)
    assert "rules.yaml:3: no such field" in manager.status("misconfigured").detail


def test_an_unknown_name_is_a_key_error(manager: SupervisorManager) -> None:
    for call in (manager.start, manager.stop, manager.restart, manager.status):
        with pytest.raises(KeyError):
            call("nobody")


def test_programs_get_their_environment_and_secrets(manager: SupervisorManager, layout: Layout, wait: Wait) -> None:
    layout.secrets.write_text("# comment\nSLACK_BOT_TOKEN = 'xoxb-1'\nPATH=ignored, since it is set\n")
    layout.secrets.chmod(0o600)
    manager.start("environment")
    wait(lambda: layout.text_log("environment").read_text().endswith("up\n"))
    environment = json.loads(layout.text_log("environment").read_text().splitlines()[0])
    assert environment["PLAIN"] == "100% ;#"
    assert environment["OWN"] == "yes"
    assert environment["FROM_FILE"] == "from-a-file"
    assert environment["SLACK_BOT_TOKEN"] == "xoxb-1"
    assert environment["PATH"] == os.environ["PATH"]


def test_what_gives_way_runs_at_its_niceness(manager: SupervisorManager, layout: Layout, wait: Wait) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    for name, more in (("sleeper", 0), ("environment", 7)):
        manager.start(name)
        wait(lambda name=name: layout.text_log(name).exists() and "up\n" in layout.text_log(name).read_text())  # type: ignore[misc]
        pid = manager.status(name).pid
        assert pid is not None
        assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, own + more)


@pytest.mark.parametrize(
    ("mode", "text", "says"), [(0o644, "A=b", "chmod 600"), (0o600, "rubbish", ":1: not NAME=VALUE")]
)
def test_a_bad_secrets_file_is_named(
    manager: SupervisorManager, layout: Layout, wait: Wait, mode: int, text: str, says: str
) -> None:
    layout.secrets.write_text(text)
    layout.secrets.chmod(mode)
    manager.start("sleeper")
    wait(lambda: manager.status("sleeper").state is RunState.FAILED)
    assert says in manager.status("sleeper").detail
    assert text not in manager.status("sleeper").detail


def test_when_the_supervisor_is_killed_its_programs_end(manager: SupervisorManager, layout: Layout, wait: Wait) -> None:
    manager.start("sleeper")
    wait(lambda: layout.text_log("sleeper").read_text() == "up\n")
    os.kill(manager.supervisor_pid(), signal.SIGKILL)
    wait(lambda: marked(layout) == [])
    assert not is_running(layout)
    with pytest.raises(Unavailable, match="not running"):
        manager.all()


def test_the_sweep_finds_what_no_signal_of_death_reached(
    manager: SupervisorManager, layout: Layout, wait: Wait
) -> None:
    manager.start("parent")
    manager.start("stubborn")
    wait(lambda: layout.text_log("stubborn").read_text() == "up\n")
    wait(lambda: layout.text_log("parent").read_text() == "up\n")
    os.kill(manager.supervisor_pid(), signal.SIGKILL)
    # `parent` is told and dies; its child and `stubborn` live on.
    wait(lambda: len(marked(layout)) == 2)
    ended = sweep(layout, term_within_s=0.3)
    assert sum(line.startswith("stopped") for line in ended) == 2
    assert sum(line.startswith("killed") for line in ended) == 1
    assert marked(layout) == []


def test_the_sweep_spares_other_platforms(manager: SupervisorManager, layout: Layout) -> None:
    manager.start("sleeper")
    other = Layout(layout.home.with_name(layout.home.name[:-1]))
    assert sweep(other) == []
    assert is_running(layout)
