"""Which reports a run is for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from vigil_airflow import hooks
from vigil_airflow.operators import reports
from vigil_airflow.operators.reports import ChooseReportsOperator, SlackReportsOperator

from streaming.reports.making import BadDay
from streaming.reports.store import JSON
from streaming.settings import Settings
from tests.support.stored_logs import moment


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """In Berlin, at five past two in the morning of 26 November."""
    made = Settings.model_construct(home=tmp_path, report_zone="Europe/Berlin", report_late_h=1.0)
    monkeypatch.setattr(hooks, "load_settings", lambda: made)
    monkeypatch.setattr(reports, "_now_ms", lambda: moment("2026-11-26T02:05+01:00"))
    return made


def chosen(
    run_type: str = "scheduled", at: str = "2026-11-26T01:07Z", *, day: str = "", kind: str = "daily"
) -> list[str]:
    run = SimpleNamespace(run_type=run_type, logical_date=datetime.fromisoformat(at).astimezone(UTC))
    operator = ChooseReportsOperator(task_id="choose", kind=kind, day=day)
    return operator.execute({"dag_run": run})


def built(settings: Settings, day: str) -> None:
    folder = settings.home / "reports" / "daily" / day
    folder.mkdir(parents=True)
    (folder / JSON).touch()


def test_the_last_day_where_none_was_built_and_what_was_missed_where_some_were(settings: Settings) -> None:
    assert chosen() == ["2026-11-25"]
    built(settings, "2026-11-22")
    assert chosen() == ["2026-11-23", "2026-11-24", "2026-11-25"]
    built(settings, "2026-11-25")
    with pytest.raises(
        AirflowSkipException, match=r"is built. The next one is due 2026-11-27 01:00 CET \(UTC\+01:00\)"
    ):
        chosen()


def test_a_run_by_hand_is_for_the_day_it_names_or_the_last(settings: Settings) -> None:
    built(settings, "2026-11-25")
    assert chosen("manual") == ["2026-11-25"]
    assert chosen("manual", day="2026-03-01") == ["2026-03-01"]
    assert chosen("manual", day="yesterday") == ["2026-11-25"]
    assert chosen("manual", day="2026-11-25", kind="weekly") == ["2026-11-23"]
    with pytest.raises(BadDay, match="'2026-02-30' is no day"):
        chosen("manual", day="2026-02-30")


def test_a_run_of_a_backfill_is_for_the_day_that_was_closed_in_its_hour(settings: Settings) -> None:
    assert chosen("backfill", "2026-11-01T00:07Z") == ["2026-10-31"]
    with pytest.raises(AirflowSkipException):
        chosen("backfill", "2026-11-01T01:07Z")
    assert chosen("backfill", "2026-11-09T00:27Z", kind="weekly") == ["2026-11-02"]


def test_nothing_is_delivered_where_nobody_wants_it(settings: Settings) -> None:
    operator = SlackReportsOperator(task_id="post", kind="daily", days=["2026-11-25"], deliver="never")
    with pytest.raises(AirflowSkipException, match="delivers nothing"):
        operator.execute({})
