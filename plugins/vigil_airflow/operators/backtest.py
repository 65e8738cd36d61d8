"""Tries rules on stored logs, and leaves a report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, Context

from infra.targets import DEPLOYED_LAST
from vigil_airflow.hooks import VigilHook

if TYPE_CHECKING:
    from streaming.alerting.rehearsal.backtest import Report
    from streaming.alerting.rehearsal.summary import Summary
    from streaming.alerting.rules.ruleset import RuleSet
    from streaming.settings import Settings

RULES_SHOWN = 30


class BacktestRulesOperator(BaseOperator):
    """What the rules would have fired on the logs of the last time, with the live engine; and what the set that was
    tried before would have, on the same logs.

    By the run's parameters `since`, `rules` (a path; empty: the configured one), `compare`. The report is a folder of
    `HOME/reports/backtests` (HTML, PDF, JSON), and goes to Slack where that is set up.

    Args:
        target: as `infra.targets.reference` takes it (templated).
        slack_conn_id: connection by which Slack gets it.

    Returns: `version`, `incidents`, `messages`, `compared_with`, and `folder`.

    Raises:
        ConfigError: the rules are broken; the text names file and line.
        VigilError: Kafka or Elasticsearch does not answer, or the time cannot be read.
    """

    template_fields: Sequence[str] = ("target",)
    ui_color = "#d0e0e3"

    def __init__(self, *, target: str = DEPLOYED_LAST, slack_conn_id: str = "vigil_slack", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target, self.slack_conn_id = target, slack_conn_id

    def execute(self, context: Context) -> dict[str, object]:
        """Reads, tries, writes."""
        from streaming.alerting.rehearsal.kept import Kept, keep
        from streaming.alerting.rules.loading import load_rules
        from streaming.elastic.query import parse_time
        from streaming.reports.backtests import brief, page_of
        from streaming.reports.rendering import html_of, pdf_of
        from streaming.reports.view import harmless

        settings, params, now_ms = VigilHook(self.target).settings, context["params"], time.time_ns() // 1_000_000
        rules = load_rules(Path(params["rules"]) if params.get("rules") else settings.rules_path)
        since_ms = parse_time(str(params["since"]), now_ms)
        summary = self._tried(settings, rules, since_ms, now_ms)
        other = self._other(settings, rules) if params.get("compare") else None
        before = self._tried(settings, other, since_ms, now_ms) if other else None
        page = harmless(page_of(summary, before, settings.report_zone))
        kept = Kept(
            at_ms=now_ms,
            rules=rules.encode().decode(),
            summary=summary,
            compared_with=before.rules_version if before else None,
        )
        folder = keep(settings, kept, {"backtest.html": html_of(page).encode(), "backtest.pdf": pdf_of(page)})
        text = brief(summary, before)
        self._log(summary, text, folder)
        self._post(settings, text, folder)
        return {
            "version": summary.rules_version,
            "incidents": len(summary.incidents),
            "messages": sum(summary.interruptions.values()),
            "compared_with": kept.compared_with,
            "folder": str(folder),
        }

    def _tried(self, settings: Settings, rules: RuleSet, since_ms: int, until_ms: int) -> Summary:
        from streaming.alerting.rehearsal.backtest import backtest

        self.log.info("trying rule set %s", rules.version)
        return backtest(settings, rules, since_ms, until_ms, report=self._progress(since_ms, until_ms))

    def _progress(self, since_ms: int, until_ms: int) -> Report:
        """A line for each tenth of the time."""
        tenths = 0

        def report(logs: int, at_ms: int) -> None:
            nonlocal tenths
            if (reached := 10 * (at_ms - since_ms) // max(1, until_ms - since_ms)) > tenths:
                tenths = reached
                self.log.info("%d logs, %d %% of the time", logs, 10 * tenths)

        return report

    @staticmethod
    def _other(settings: Settings, rules: RuleSet) -> RuleSet | None:
        """The set that was tried last and is another."""
        from streaming.alerting.rehearsal.kept import latest, rules_of

        kept = latest(settings, but=rules.version)
        return rules_of(kept) if kept else None

    def _log(self, summary: Summary, text: str, folder: Path) -> None:
        for rule in summary.rules[:RULES_SHOWN]:
            if rule.incidents:
                self.log.info(
                    "%s (%s): %d incidents, %d messages", rule.rule_id, rule.kind, rule.incidents, rule.interruptions
                )
        self.log.info("%s Report: %s", text, folder / "backtest.html")

    def _post(self, settings: Settings, text: str, folder: Path) -> None:
        from streaming.alerting.receivers.slack.mrkdwn import escaped
        from streaming.errors import VigilError
        from vigil_airflow.slack import VigilSlackHook

        try:
            slack = VigilSlackHook(self.slack_conn_id, settings=settings)
            if slack.configured:
                slack.upload([folder / "backtest.pdf", folder / "backtest.html"], escaped(text, 1_000))
        except VigilError as error:
            # The report is there; that nobody was told of it is no reason to make it again.
            self.log.error("%s. The report is at %s", error, folder)
