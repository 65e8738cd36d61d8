"""What rules of kind `pipeline-health` conclude from how the pipeline stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from streaming.alerting.candidates import said, terms_of
from streaming.alerting.fields import plant
from streaming.alerting.incidents.decision import NO_OUTCOME, Outcome
from streaming.alerting.incidents.lifecycle import is_open
from streaming.alerting.messages import Candidate, Incident, Recovery
from streaming.alerting.rules.base import render_text, render_title
from streaming.alerting.rules.pipeline_health import Check, PipelineHealthRule
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.rules.weekly import is_within
from streaming.pipeline.messages import PipelineStatus, WorkerProgress

KIND = "pipeline-health"

PIPELINE_SERVICE = "vigil-pipeline"
"""Service of what is said of the pipeline as a whole; what is said of a worker has `vigil-<worker>`."""


class _Look(NamedTuple):
    """What one check of one worker came to; `worker` is empty for the pipeline as a whole."""

    check: Check
    worker: str
    fails: bool
    message: str
    """How it is, in words."""


class PipelineRules:
    """The rules of kind `pipeline-health` that are enabled. Keeps nothing: each status tells all. `incidents` is the
    book's, by key; it is only read."""

    def __init__(self, rules: RuleSet, incidents: Mapping[str, Incident]) -> None:
        self._incidents, self._is_first = incidents, True
        self._rules = tuple(rule for rule in rules.rules if rule.enabled and isinstance(rule, PipelineHealthRule))

    def status(self, status: PipelineStatus, now_ms: int) -> Outcome:
        """A candidate for each check that fails, a recovery for each that does not: the book passes over one for
        which nothing is open. Outside a rule's times it fires nothing. Of a worker that the status leaves out nothing
        is concluded. The first status also ends what rules that are gone have left open."""
        found: list[Candidate | Recovery] = [*self._left_behind(status)] if self._is_first else []
        self._is_first = False
        for rule in self._rules:
            active = is_within(rule.active, now_ms)
            for look in (*_of_workers(rule, status), _dead_letters(rule, status)):
                if not look.fails:
                    found.append(_recovery(rule, look, status))
                elif active:
                    found.append(_candidate(rule, look, status))
        return Outcome(tuple(found)) if found else NO_OUTCOME

    def _left_behind(self, status: PipelineStatus) -> Iterator[Recovery]:
        ids = {rule.id for rule in self._rules}
        for incident in self._incidents.values():
            if incident.rule_kind == KIND and incident.rule_id not in ids and is_open(incident):
                yield Recovery(
                    rule_id=incident.rule_id,
                    group=incident.group,
                    received_ms=status.at_ms,
                    reason="its rule is no longer in force",
                )


def _of_workers(rule: PipelineHealthRule, status: PipelineStatus) -> Iterator[_Look]:
    for worker, progress in sorted(status.workers.items()):
        lag = f"{progress.lag:,} records behind"
        for check, limit, value, message in (
            (Check.LAG, rule.max_lag, progress.lag, f"{worker} is {lag}"),
            (
                Check.DELAY,
                rule.max_delay,
                progress.behind_ms / 1000,
                f"{worker} is {_duration(progress.behind_ms)} late, {lag}",
            ),
            (
                Check.STALLED,
                rule.stalled_for,
                progress.still_ms / 1000,
                f"{worker} has made no progress for {_duration(progress.still_ms)}, {lag}",
            ),
        ):
            # One that it does not look at does not fail: that ends an incident of what the rule was before.
            fails = limit is not None and value > limit and rule.looks_at(worker)
            yield _Look(check, worker, fails, message)


def _dead_letters(rule: PipelineHealthRule, status: PipelineStatus) -> _Look:
    most, ratio = rule.dead_letter_ratio, _ratio(status)
    fails = most is not None and ratio > most and status.dead_letters >= rule.min_dead_letters
    message = f"{ratio:.0%} dead letters: {status.dead_letters:,} to {status.logs:,} logs in the last minute"
    return _Look(Check.DEAD_LETTERS, "", fails, message)


def _ratio(status: PipelineStatus) -> float:
    """1 at the most: what is a dead letter now may have come earlier."""
    if not status.dead_letters:
        return 0.0
    return min(1.0, status.dead_letters / status.logs) if status.logs else 1.0


def _candidate(rule: PipelineHealthRule, look: _Look, status: PipelineStatus) -> Candidate:
    service = f"vigil-{look.worker}" if look.worker else PIPELINE_SERVICE
    fields = _fields(look, status, service)
    return Candidate(
        rule_id=rule.id,
        group=rule.group(look.check, look.worker),
        severity=rule.severity,
        title=render_title(rule.title, fields),
        count=1,
        first_ms=status.at_ms,
        last_ms=status.at_ms,
        received_ms=status.at_ms,
        sample=said(look.message, status.at_ms, service),
        text=render_text(rule.text, fields),
        resolve_after_s=rule.resolve_after,
        **terms_of(rule),
    )


def _recovery(rule: PipelineHealthRule, look: _Look, status: PipelineStatus) -> Recovery:
    group = rule.group(look.check, look.worker)
    return Recovery(rule_id=rule.id, group=group, received_ms=status.at_ms, reason=look.message)


def _fields(look: _Look, status: PipelineStatus, service: str) -> dict[str, object]:
    """What templates read: `check`, `worker`, `message`; `lag` (records), `delay` and `stalled` (seconds); `ratio`
    (0 to 1), `dead_letters` and `logs` of the last minute; `service.name`."""
    progress = status.workers.get(look.worker) or WorkerProgress(lag=0, behind_ms=0, still_ms=0)
    tree: dict[str, object] = {
        "check": look.check.value,
        "worker": look.worker,
        "message": look.message,
        "lag": progress.lag,
        "delay": round(progress.behind_ms / 1000),
        "stalled": round(progress.still_ms / 1000),
        "ratio": round(_ratio(status), 3),
        "dead_letters": status.dead_letters,
        "logs": status.logs,
    }
    plant(tree, "service.name", service)
    return tree


def _duration(milliseconds: int) -> str:
    seconds = milliseconds / 1000
    for limit, divisor, unit in ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
