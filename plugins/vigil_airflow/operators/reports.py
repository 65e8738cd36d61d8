"""Chooses, builds and delivers error reports of days and weeks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context, XComArg
from airflow.sdk.exceptions import AirflowSkipException

from infra.targets import DEPLOYED_LAST
from vigil_airflow.hooks import VigilHook

if TYPE_CHECKING:
    from airflow.sdk.types import DagRunProtocol

    from streaming.reports.model import Report
    from streaming.reports.period import Kind, Period
    from streaming.reports.store import ReportStore
    from streaming.settings import Settings

HOUR_MS = 60 * 60 * 1000
"""Reports are looked for every hour: each run is for the cut-offs of one."""

DELIVER = ("new", "always", "never")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class ChooseReportsOperator(BaseOperator):
    """Says of which periods this run builds reports; skips what follows where it is none, with the reason.

    A run with a `day` is for the period of that day, whether or not it was built before; a run by hand without one for
    the last that is closed. A scheduled run is for those that are closed and have no report; a run of Airflow's own
    backfill for those whose cut-off lies within the hour before its logical date.

    Args:
        kind: `daily` or `weekly`.
        day: ISO date, `yesterday`, or empty (templated).
        target: as `infra.targets.reference` takes it (templated).

    Returns: the first days of the periods, ISO dates, the earliest first.

    Raises:
        AirflowSkipException: there is nothing to build.
        BadDay: `day` is none.
    """

    template_fields: Sequence[str] = ("day", "target")
    ui_color = "#fce5cd"

    def __init__(self, *, kind: str, day: str = "", target: str = DEPLOYED_LAST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind, self.day, self.target = kind, day, target

    def execute(self, context: Context) -> list[str]:
        """Chooses."""
        from streaming.reports.due import next_cutoff_ms
        from streaming.reports.period import Kind, local_text

        settings, kind, now_ms = VigilHook(self.target).settings, Kind(self.kind), _now_ms()
        chosen = self._chosen(settings, kind, now_ms, context["dag_run"])
        if not chosen:
            at_ms = next_cutoff_ms(kind, settings.report_zone, settings.report_late_h, now_ms)
            at = local_text(at_ms, settings.report_zone)
            raise AirflowSkipException(f"Every {kind} report that is due is built. The next one is due {at}")
        for period in chosen:
            self.log.info("%s report of %s (%s)", kind, period.title, period.zone)
        return [period.first_day for period in chosen]

    def _chosen(self, settings: Settings, kind: Kind, now_ms: int, run: DagRunProtocol) -> list[Period]:
        from streaming.reports import due, making
        from streaming.reports.store import ReportStore

        zone, late_h = settings.report_zone, settings.report_late_h
        day = "" if self.day in ("", "None") else self.day
        if day or run.run_type == "manual":
            return [making.wanted_period(settings, kind, day, now_ms)]
        if run.run_type == "backfill" and run.logical_date is not None:
            at_ms = round(run.logical_date.timestamp() * 1000)
            return due.closed_between(kind, zone, late_h, at_ms - HOUR_MS, min(at_ms, now_ms))
        return due.due(kind, zone, late_h, now_ms, ReportStore(settings).days(kind))


class BuildReportsOperator(BaseOperator):
    """Builds, renders and stores the reports of these periods. A report that was built before keeps its numbers, and
    shows what has come since; so a repeated task does no harm.

    Args:
        kind: `daily` or `weekly`.
        days: first days of the periods (templated).
        target: as `infra.targets.reference` takes it (templated).

    Returns: `{day: folder of its files}`.

    Raises:
        NotOver: a period's cut-off is still to come.
        Unavailable: Elasticsearch or Kafka does not answer; what was built before that is stored.
    """

    template_fields: Sequence[str] = ("days", "target")
    ui_color = "#fce5cd"

    def __init__(self, *, kind: str, days: Sequence[str] | XComArg, target: str = DEPLOYED_LAST, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind, self.days, self.target = kind, days, target

    def execute(self, context: Context) -> dict[str, str]:
        """Builds."""
        from streaming.reports import making
        from streaming.reports.period import Kind
        from streaming.reports.view import summary

        settings, folders = VigilHook(self.target).settings, {}
        for day in _given(self.days):
            period = making.wanted_period(settings, Kind(self.kind), day, _now_ms())
            made = making.make(settings, period, _now_ms())
            for line in summary(made.report).splitlines():
                self.log.info("%s", line)
            self.log.info("files: %s", made.folder)
            folders[day] = str(made.folder)
        return folders


class _DeliverReportsOperator(BaseOperator):
    """What both ways have in common: each report is delivered once, unless somebody wants it again.

    Args:
        kind: `daily` or `weekly`.
        days: first days of the periods (templated).
        deliver: `new`: those that were not delivered this way before; `always`; `never` (templated).
        target: as `infra.targets.reference` takes it (templated).

    Returns: the days whose reports were delivered.

    Raises:
        AirflowSkipException: nothing was delivered, and why.
        ConfigError: what it needs is not set up as it should be.
        Unavailable: it could not be delivered, or nobody knows. Those before it were.
    """

    template_fields: Sequence[str] = ("days", "deliver", "target")
    ui_color = "#fce5cd"
    way = ""

    def __init__(
        self,
        *,
        kind: str,
        days: Sequence[str] | XComArg,
        deliver: str = "new",
        target: str = DEPLOYED_LAST,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kind, self.days, self.deliver, self.target = kind, days, deliver, target

    def execute(self, context: Context) -> list[str]:
        """Delivers."""
        from streaming.reports.period import Kind
        from streaming.reports.store import ReportStore

        if self.deliver == "never":
            raise AirflowSkipException("This run delivers nothing")
        settings = VigilHook(self.target).settings
        send = self._way(settings)
        store, kind, delivered = ReportStore(settings), Kind(self.kind), []
        for day in map(date.fromisoformat, _given(self.days)):
            report = store.load(kind, day)
            if report is None or (self.deliver == "new" and store.was_delivered(report, self.way)):
                continue
            self.log.info("%s: %s", report.period.title, send(report, store))
            store.note_delivered(report, self.way, _now_ms())
            delivered.append(day.isoformat())
        if not delivered:
            raise AirflowSkipException("These reports were delivered before; run it with deliver=always to do it again")
        return delivered

    def _way(self, settings: Settings) -> Callable[[Report, ReportStore], str]:
        """What delivers a report and says to whom; skips where nobody has set it up."""
        raise NotImplementedError


class SlackReportsOperator(_DeliverReportsOperator):
    """Posts reports to Slack: a short text, the picture, PDF and HTML. See `_DeliverReportsOperator`.

    Args:
        slack_conn_id: Airflow's connection; without it the installation's own settings are used.
    """

    way = "slack"

    def __init__(self, *, slack_conn_id: str = "vigil_slack", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.slack_conn_id = slack_conn_id

    def _way(self, settings: Settings) -> Callable[[Report, ReportStore], str]:
        from vigil_airflow.slack import VigilSlackHook

        hook = VigilSlackHook(self.slack_conn_id, settings=settings)
        if not hook.configured:
            raise AirflowSkipException(
                "Slack is not set up (docs/airflow.md); the report's files are stored all the same"
            )

        def send(report: Report, store: ReportStore) -> str:
            files = hook.upload(_uploads(report, store), _comment(report))
            return f"posted to Slack with {len(files)} files"

        return send


class MailReportsOperator(_DeliverReportsOperator):
    """Mails reports, with HTML and PDF attached. See `_DeliverReportsOperator`."""

    way = "mail"

    def _way(self, settings: Settings) -> Callable[[Report, ReportStore], str]:
        if not settings.report_mail_receiver:
            raise AirflowSkipException(
                f"Nobody gets reports by mail: {settings.variable('report_mail_receiver')} is empty (docs/reports.md)"
            )

        def send(report: Report, store: ReportStore) -> str:
            from streaming.reports.mail import mail_report

            recipients = mail_report(settings, report, store.files(report)) or []
            return f"mailed to {', '.join(recipients)}"

        return send


def _given(days: Sequence[str] | XComArg) -> Sequence[str]:
    """What Airflow has put in the place of the argument by the time that a task runs."""
    assert not isinstance(days, XComArg)
    return days


def _uploads(report: Report, store: ReportStore) -> list[Any]:
    from streaming.reports.store import HTML, PDF, PICTURE
    from streaming.reports.view import summary, title
    from vigil_airflow.slack import Upload

    files, name = store.files(report), title(report)
    return [
        Upload(f"{report.id}.png", files[PICTURE], name, summary(report)),
        Upload(f"{report.id}.pdf", files[PDF], f"{name} (PDF)"),
        Upload(f"{report.id}.html", files[HTML], f"{name} (HTML)"),
    ]


def _comment(report: Report) -> str:
    from streaming.alerting.receivers.slack.mrkdwn import SECTION_LIMIT, escaped
    from streaming.reports.view import summary

    head, _, rest = escaped(summary(report), SECTION_LIMIT).partition("\n")
    return f"*{head}*\n{rest}".strip()
