"""Names of log files, and the documents of their lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st
from vigil_airflow.task_logs.lines import LINE_LIMIT, LogName, documents

AT = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
PATH = "dag_id=d/run_id=manual__2026-11-26T09:57:46+00:00/task_id=t"


def test_a_path_tells_what_the_log_is_of() -> None:
    name = LogName.of(f"{PATH}/attempt=2.log")
    assert name == LogName(
        f"{PATH}/attempt=2",
        "worker",
        {"dag_id": "d", "run_id": "manual__2026-11-26T09:57:46+00:00", "task_id": "t", "try_number": 2},
    )
    trigger = LogName.of(f"{PATH}/attempt=2.log.trigger.7.log")
    assert (trigger.log_id, trigger.part, trigger.fields) == (name.log_id, "trigger.7", name.fields)
    assert LogName.of(f"{PATH}/map_index=3/attempt=1.log").fields["map_index"] == 3
    # A deferred task that runs for a second time, and other things that Airflow keeps logs of.
    assert LogName.of("executor_callbacks/d/r/x.log") == LogName("executor_callbacks/d/r/x", "worker", {})
    assert LogName.of("notes.txt") == LogName("notes.txt")


def test_lines_become_documents_of_their_own_month() -> None:
    lines = [
        b'{"timestamp":"2026-12-01T00:00:00.5Z","level":"error","event":"no","logger":"task","x":{"y":1}}\n',
        b"plain text of a program\n",
        b"\n",
        b'["no", "object"]\n',
    ]
    found = list(documents(LogName.of(f"{PATH}/attempt=1.log"), lines, AT))
    assert [(d.month, d.offset) for d in found] == [("2026.12", 1), ("2026.12", 2), ("2026.12", 4)]
    first, second, _ = (json.loads(d.body) for d in found)
    assert first["@timestamp"] == second["@timestamp"] == "2026-12-01T00:00:00.500000+00:00"
    assert (first["message"], first["level"], first["logger"], first["task_id"]) == ("no", "error", "task", "t")
    assert first["line"] == lines[0].decode().rstrip("\n")
    assert (second["message"], second["level"]) == ("plain text of a program", "info")


def test_one_without_any_time_has_that_of_its_file() -> None:
    odd = [b'{"timestamp":"0001-01-01T00:00:00Z"}', b'{"timestamp":"soon"}', b'{"timestamp":7}']
    assert [json.loads(d.body)["@timestamp"] for d in documents(LogName("x"), odd, AT)] == [AT.isoformat()] * 3


def test_the_same_line_is_the_same_document_and_another_is_not() -> None:
    def ids(path: str, *lines: bytes, after: int = 0) -> list[str]:
        return [d.document_id for d in documents(LogName.of(path), lines, AT, after)]

    path = f"{PATH}/attempt=1.log"
    assert ids(path, b"a", b"a") == ids(path, b"a", b"a", b"b")[:2]
    assert len(set(ids(path, b"a", b"a"))) == 2
    assert ids(path, b"a") != ids(path, b"b")
    assert ids(path, b"a") != ids(f"{path}.trigger.1.log", b"a")
    assert ids(path, b"a", b"b", b"c", after=2) == ids(path, b"a", b"b", b"c")[2:]


@given(st.lists(st.binary(max_size=60)), st.text(max_size=30))
def test_anything_a_task_prints_can_be_kept(lines: list[bytes], path: str) -> None:
    for document in documents(LogName.of(path), lines, AT):
        assert json.loads(document.body)["line"].strip()


def test_a_huge_line_is_cut() -> None:
    (document,) = documents(LogName("x"), [b"y" * (LINE_LIMIT + 9)], AT)
    assert len(json.loads(document.body)["line"]) == LINE_LIMIT
