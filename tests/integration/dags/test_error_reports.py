"""`daily_error_report` and `weekly_error_report` on a real Elasticsearch and Kafka, with a Slack and a mail server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from pydantic import SecretStr
from vigil_airflow import hooks
from vigil_airflow.operators.reports import BuildReportsOperator, MailReportsOperator

from streaming.errors import Unavailable
from streaming.events.model import Level
from streaming.reports.model import Tally
from streaming.reports.period import Kind, Period, last_closed
from streaming.reports.store import ReportStore
from streaming.settings import Settings
from tests.integration.dags.conftest import RunDag
from tests.support.fake_slack import CHANNEL, TOKEN, FakeSlack
from tests.support.fake_smtp import FakeSmtp
from tests.support.stored_logs import Log, put_logs


@pytest.fixture
def closed() -> Period:
    """The day that a report is made of now: the run of all tests may have begun the day before."""
    return last_closed(Kind.DAILY, "Europe/Berlin", 1.0, time.time_ns() // 1_000_000)


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    fake = FakeSlack()
    yield fake
    fake.close()


@pytest.fixture
def mail() -> Iterator[FakeSmtp]:
    with FakeSmtp.running(size=5_000_000) as server:
        yield server


@pytest.fixture
def told(
    settings: Settings,
    slack: FakeSlack,
    mail: FakeSmtp,
    monkeypatch: pytest.MonkeyPatch,
    meant_up: None,
    closed: Period,
) -> Settings:
    """An installation in Berlin that tells Slack and mails."""
    rules = settings.home / "rules.yaml"
    rules.write_text(
        "receivers: [{name: post, kind: email, host: 127.0.0.1, "
        f"port: {mail.port}, security: none, sender: vigil@example.org, to: [ops@example.org]}}]\n"
    )
    made = settings.model_copy(
        update={
            "report_zone": "Europe/Berlin",
            "rules_path": rules,
            "report_mail_receiver": "post",
            "slack_bot_token": SecretStr(TOKEN),
            "slack_channel": CHANNEL,
            "slack_api_url": slack.url,
        }
    )
    monkeypatch.setattr(hooks, "load_settings", lambda: made)
    put_logs(made, [Log(closed.start_ms), Log(closed.end_ms - 1, Level.ERROR, "payment", "*bold* <!channel> `x`")])
    return made


def test_a_day_is_built_delivered_once_and_built_again(
    run_dag: RunDag, told: Settings, closed: Period, slack: FakeSlack, mail: FakeSmtp
) -> None:
    ran = run_dag("daily_error_report")
    assert ran.state == "success"
    assert ran.returned["choose"] == [closed.first_day]
    report = ReportStore(told).load(Kind.DAILY, closed.day)
    assert report is not None
    assert report.total.now == Tally(2, 1)
    assert [file.name for file in slack.files.shared] == [f"{report.id}.{kind}" for kind in ("png", "pdf", "html")]
    comment = slack.files.shared[0].comment
    assert comment.startswith("*Error report: ")
    assert "Errors: 1" in comment
    [sent] = mail.mails
    assert sent.recipients == ["ops@example.org"]
    assert "1 error" in str(sent.message["Subject"])
    assert [part.get_filename() for part in sent.message.iter_attachments()] == [
        f"{report.id}-report.html",
        f"{report.id}-report.pdf",
    ]

    put_logs(told, [Log(closed.start_ms + 1, Level.ERROR)])
    again = run_dag("daily_error_report", {"day": closed.first_day})
    assert again.tasks["build"] == "success"
    assert (again.tasks["post_to_slack"], again.tasks["mail"]) == ("skipped", "skipped")
    assert len(mail.mails) == 1
    corrected = ReportStore(told).load(Kind.DAILY, closed.day)
    assert corrected is not None
    assert corrected.correction is not None
    assert corrected.correction.indexed_late == Tally(1, 1)


@pytest.mark.usefixtures("airflow_database")
def test_a_server_that_is_away_is_named_and_what_was_missed_is_done_again(
    told: Settings, closed: Period, mail: FakeSmtp, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = BuildReportsOperator(task_id="build", kind="daily", days=[closed.first_day])
    post = MailReportsOperator(task_id="mail", kind="daily", days=[closed.first_day])
    nowhere = told.model_copy(update={"elasticsearch_url": "http://127.0.0.1:9"})
    monkeypatch.setattr(hooks, "load_settings", lambda: nowhere)
    with pytest.raises(Unavailable, match="does not answer"):
        build.execute({})
    monkeypatch.setattr(hooks, "load_settings", lambda: told)
    assert list(build.execute({})) == [closed.first_day]

    mail.faults.replies["MAIL"] = ["451 4.3.0 come back later"]
    with pytest.raises(Unavailable, match="receiver post: the report could not be mailed: smtp_451"):
        post.execute({})
    assert post.execute({}) == [closed.first_day]
    with pytest.raises(AirflowSkipException, match="deliver=always"):
        post.execute({})
    post.deliver = "always"
    assert post.execute({}) == [closed.first_day]
    assert len(mail.mails) == 2


def test_a_week_is_built_and_nothing_that_is_not_set_up_stops_it(
    run_dag: RunDag, told: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet = told.model_copy(update={"slack_bot_token": SecretStr(""), "report_mail_receiver": ""})
    monkeypatch.setattr(hooks, "load_settings", lambda: quiet)
    ran = run_dag("weekly_error_report", {"day": "2026-01-01"})
    assert ran.tasks["build"] == "success"
    assert (ran.tasks["post_to_slack"], ran.tasks["mail"]) == ("skipped", "skipped")
    assert ReportStore(quiet).days(Kind.WEEKLY) == [date(2025, 12, 29)]
