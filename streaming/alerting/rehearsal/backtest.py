"""A backtest: stored logs through the live engine, with the clock of their receipt."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from enum import StrEnum

from streaming.alerting.rehearsal.run import Rehearsal
from streaming.alerting.rehearsal.summary import Summary, summarize
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.stored.documents import StoredLog, documents_between
from streaming.alerting.stored.records import complete_since_ms, partitions_of_logs, records_between
from streaming.settings import Settings

Report = Callable[[int, int], None]
"""Is told now and then how many logs were read, and the time (ms) that the simulated clock has reached."""

REPORT_EVERY = 20_000


class From(StrEnum):
    """Where the logs of a backtest are read."""

    AUTO = "auto"
    """Kafka where it still has all of the time, else Elasticsearch."""
    KAFKA = "kafka"
    ELASTICSEARCH = "elasticsearch"


def backtest(
    settings: Settings, rules: RuleSet, since_ms: int, until_ms: int, *, source: From = From.AUTO, report: Report
) -> Summary:
    """What these rules would have done with the logs that were received between the two times.

    Windows and values begin empty at `since_ms`, as with rules that came into force then. After `until_ms` time stands
    still: what is open then is shown as open.

    Raises:
        Unavailable: Kafka or Elasticsearch does not answer.
    """
    if source is From.AUTO:
        source = From.KAFKA if complete_since_ms(settings, until_ms) <= since_ms else From.ELASTICSEARCH
    if source is From.KAFKA:
        logs, partitions = records_between(settings, since_ms, until_ms), partitions_of_logs(settings)
    else:
        logs, partitions = documents_between(settings, since_ms, until_ms), 1
    return rehearse(rules, logs, since_ms, until_ms, partitions=partitions, source=source.value, report=report)


def rehearse(
    rules: RuleSet,
    logs: Iterator[StoredLog],
    since_ms: int,
    until_ms: int,
    *,
    partitions: int,
    source: str,
    report: Report,
) -> Summary:
    """The same over logs that are given."""
    rehearsal = Rehearsal(rules, since_ms, partitions)
    for number in itertools.count(1):
        log = next(logs, None)
        if log is None:
            break
        rehearsal.log(log)
        if number % REPORT_EVERY == 0:
            report(number, rehearsal.now_ms)
    found = rehearsal.finish(until_ms)
    return summarize(rules, found, since_ms=since_ms, until_ms=until_ms, source=source)
