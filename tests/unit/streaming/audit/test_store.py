"""The local files of audits, and what is left of them while Elasticsearch is away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from streaming.alerting.messages import Severity
from streaming.audit import store
from streaming.audit.findings import Audit, Finding, Latency, Problem, Verdict, audit_of
from streaming.errors import Unavailable
from streaming.settings import Settings

NOW_MS = int(datetime.now(UTC).timestamp() * 1000)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, elasticsearch_url="http://127.0.0.1:1")


def audit(at_ms: int = NOW_MS, kind: str = "heartbeat") -> Audit:
    return audit_of(kind, at_ms, [], {}, {"nodes_up": 3})


def test_what_is_kept_is_read_again_the_newest_first(settings: Settings) -> None:
    for minutes in (1, 3, 2):
        store.keep(settings, audit(NOW_MS - minutes * 60_000))
    store.keep(settings, audit(kind="pipeline"))
    found = store.latest(settings, "heartbeat", 2)
    assert [one.at_ms for one in found] == [NOW_MS - 60_000, NOW_MS - 120_000]
    assert found[0].verdict is Verdict.GOOD
    assert found[0].facts == {"nodes_up": 3}


def test_it_stays_pending_while_elasticsearch_is_away(settings: Settings) -> None:
    file = store.keep(settings, audit())
    with pytest.raises(Unavailable):
        store.index_pending(settings)
    assert file.exists()


def test_old_files_go_by_their_names(settings: Settings) -> None:
    old = store.keep(settings, audit(NOW_MS - int(timedelta(days=store.KEPT_DAYS + 2).total_seconds() * 1000)))
    new = store.keep(settings, audit())
    assert not old.exists()
    assert new.exists()


def test_what_is_only_listed_is_nothing_wrong() -> None:
    quiet = Finding(problem=Problem.ZOMBIE, subject="n", severity=Severity.INFO, reason="logs seldom")
    loud = msgspec.structs.replace(quiet, severity=Severity.WARNING)
    assert audit_of("heartbeat", NOW_MS, [quiet], {}, {}).verdict is Verdict.GOOD
    assert audit_of("heartbeat", NOW_MS, [quiet, loud], {}, {}).verdict is Verdict.FINDINGS
    assert audit_of("heartbeat", NOW_MS, [quiet], {"kafka": "away"}, {}).verdict is Verdict.CANNOT_TELL


def test_percentiles_are_by_nearest_rank() -> None:
    assert Latency.of([]) is None
    assert Latency.of([7]) == Latency(values_ms=(7,), p50_ms=7, p99_ms=7)
    series = Latency.of([50, 10, 20, 30, 40])
    assert series == Latency(values_ms=(50, 10, 20, 30, 40), p50_ms=30, p99_ms=50)
    hundred = Latency.of(list(range(1, 101)))
    assert hundred
    assert (hundred.p50_ms, hundred.p99_ms) == (50, 99)
