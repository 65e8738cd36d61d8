"""What systemd says of units, read into statuses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.machines.placement import Instance
from infra.machines.systemctl import PROPERTIES, Shown, ended_by_itself, read, show_command, status, version
from infra.machines.systemd import last_words, merged, readable_line
from infra.service_manager import RunState, ServiceStatus

INDEXER = Instance("indexer", "producer")

# As systemd 252 printed it.
REAL = """\
Type=notify
Result=success
NRestarts=0
ExecMainStartTimestamp=@1795702819
ExecMainCode=0
ExecMainStatus=0
MainPID=4711
StatusText=not elasticsearch (nothing answers = refused)
Id=vigil-indexer.service
LoadState=loaded
ActiveState=active
SubState=running

Id=vigil-templates.service
LoadState=not-found
ActiveState=inactive
SubState=dead
MainPID=0
"""


def shown(**properties: str) -> Shown:
    return Shown({"LoadState": "loaded", **properties})


def test_blocks_are_told_apart_by_their_unit() -> None:
    found = read(REAL, ["vigil-templates.service", "vigil-indexer.service", "vigil-kafka.service"])
    assert list(found) == ["vigil-templates.service", "vigil-indexer.service", "vigil-kafka.service"]
    assert not found["vigil-kafka.service"].there
    assert not found["vigil-templates.service"].there
    told = status(INDEXER, found["vigil-indexer.service"])
    assert told == ServiceStatus(
        "indexer@producer",
        RunState.RUNNING,
        4711,
        "not elasticsearch (nothing answers = refused)",
        1795702819000,
    )


def test_one_question_asks_for_all_that_is_read() -> None:
    command = show_command(["vigil-kafka.service", "vigil-indexer.service"])
    assert command[-3:] == ["--", "vigil-kafka.service", "vigil-indexer.service"]
    assert f"--property={','.join(PROPERTIES)}" in command


@pytest.mark.parametrize(
    ("properties", "state", "detail"),
    [
        ({"ActiveState": "inactive", "SubState": "dead"}, RunState.STOPPED, ""),
        # A start that waits for another unit is no stopped one, as which a gate would give it up.
        ({"ActiveState": "inactive", "SubState": "dead", "Job": "812"}, RunState.STARTING, "waits for what it needs"),
        ({"ActiveState": "failed", "Result": "exit-code", "Job": "9"}, RunState.STARTING, "waits for what it needs"),
        ({"ActiveState": "activating", "SubState": "start", "MainPID": "7"}, RunState.STARTING, ""),
        ({"ActiveState": "active", "SubState": "running", "StatusText": "healthy"}, RunState.RUNNING, ""),
        ({"ActiveState": "deactivating", "SubState": "stop-sigterm"}, RunState.RUNNING, "stopping"),
        ({"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "78"}, RunState.FAILED,
         "it ended with status 78: last | words"),
        ({"ActiveState": "failed", "Result": "signal", "ExecMainStatus": "9"}, RunState.FAILED,
         "it was ended by signal 9: last | words"),
        ({"ActiveState": "failed", "Result": "watchdog", "ExecMainStatus": "6"}, RunState.FAILED,
         "it gave no sign of life, and was ended by the watchdog: last | words"),
        ({"ActiveState": "failed", "Result": "start-limit-hit", "ExecMainCode": "1", "ExecMainStatus": "69"},
         RunState.FAILED,
         "it was started too often in a short time; at last it ended with status 69: last | words"),
        ({"ActiveState": "failed", "Result": "brand-new"}, RunState.FAILED, "it failed (brand-new): last | words"),
        ({"ActiveState": "activating", "SubState": "auto-restart", "Result": "oom-kill", "NRestarts": "11"},
         RunState.STARTING,
         "tried again soon, for the 12th time; it took more memory than it may, and was ended: last | words"),
        ({"ActiveState": "activating", "SubState": "auto-restart-queued", "Result": "exit-code",
          "ExecMainStatus": "1", "NRestarts": "21"}, RunState.STARTING,
         "tried again soon, for the 22nd time; it ended with status 1: last | words"),
        ({"LoadState": "not-found"}, RunState.FAILED, "vigil-indexer.service is not installed; deploy the platform"),
    ],
)  # fmt: skip
def test_states(properties: dict[str, str], state: RunState, detail: str) -> None:
    found = status(INDEXER, shown(**properties), ["last", "words"])
    assert (found.state, found.detail) == (state, detail)


@pytest.mark.parametrize(
    ("text", "started"),
    [
        ("@1795702819", 1795702819000),
        ("Thu 2026-11-26 14:20:19 UTC", 1795702819000),
        ("", None),
        ("@0", None),
        ("n/a", None),
    ],
)
def test_start_times(text: str, started: int | None) -> None:
    assert status(INDEXER, shown(ActiveState="active", ExecMainStartTimestamp=text)).started_ms == started


VALUES = st.text("aZ09@-=: \t\x1b\x00\u2028\u202eü", max_size=20)


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(PROPERTIES), VALUES))
def test_whatever_systemd_says_has_a_status_fit_for_a_terminal(properties: dict[str, str]) -> None:
    text = "\n".join(f"{key}={value}" for key, value in properties.items() if key != "Id")
    unit = read(f"Id={INDEXER.unit}\n{text}", [INDEXER.unit])[INDEXER.unit]
    found = status(INDEXER, unit)
    assert found.detail.isprintable()
    assert isinstance(ended_by_itself(unit), bool)


def of(machine: str, state: RunState, detail: str = "", started: int | None = None) -> ServiceStatus:
    return ServiceStatus(f"kafka@{machine}", state, 7, detail, started)


def test_several_machines_are_one_status() -> None:
    a, b = of("a", RunState.RUNNING, "", 5), of("b", RunState.RUNNING, "", 9)
    assert merged("kafka", [a]) == ServiceStatus("kafka", RunState.RUNNING, 7, "", 5)
    assert merged("kafka", [a, b]) == ServiceStatus("kafka", RunState.RUNNING, None, "", 9)
    down = of("b", RunState.FAILED, "it ended")
    assert merged("kafka", [a, down]) == ServiceStatus("kafka", RunState.FAILED, None, "b: it ended")
    both = [of("a", RunState.STOPPED), of("b", RunState.STOPPED)]
    assert merged("kafka", both) == ServiceStatus("kafka", RunState.STOPPED, None, "")
    assert merged("kafka", [a, of("b", RunState.STARTING)]).detail == "b: starting"
    assert merged("kafka", [of("a", RunState.STARTING), of("b", RunState.STOPPED), down]).state is RunState.FAILED


@pytest.mark.parametrize(
    ("said", "found"),
    [("systemd 252 (252.38-1~deb12u1)\n+PAM +AUDIT\n", 252), ("systemd 255\n", 255), ("", 0), ("x y", 0)],
)
def test_versions(said: str, found: int) -> None:
    assert version(said) == found


def test_journal_lines_are_readable() -> None:
    stamp = "2026-11-26T14:20:19+0000 producer"
    logged = f'{stamp} vigil-indexer[7]: {{"message": "failed", "log_level": "ERROR", "error": "E: x"}}'
    assert readable_line(logged) == "2026-11-26T14:20:19+0000 ERROR failed E: x"
    assert readable_line("-- Boot 1 --") == "-- Boot 1 --"
    assert readable_line(f"{stamp} x[1]: a\x1b[31mb") == "2026-11-26T14:20:19+0000 a [31mb"
    lines = [
        f"{stamp} systemd[1]: Started vigil-indexer.service",
        f"{stamp} vigil-indexer[7]: Traceback (most recent call last):",
        f"{stamp} vigil-indexer[7]:   File x.py",
        f"{stamp} vigil-indexer[7]: ValueError: no",
        f"{stamp} vigil-indexer[7]: ValueError: no",
        f"{stamp} systemd[1]: vigil-indexer.service: Failed with result 'exit-code'.",
    ]
    assert last_words(lines) == ["ValueError: no"]
    assert last_words([]) == []
