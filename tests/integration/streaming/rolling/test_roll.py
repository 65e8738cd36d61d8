"""Rolling against a real Elasticsearch: what is made, merged, blocked, copied, deleted, refused and repaired there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import pytest
from typer.testing import CliRunner

from streaming.cli.indices import indices_app
from streaming.elastic import mapping
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import ensure_templates
from streaming.indexer.identity import index_name
from streaming.retention.versions import read_versions
from streaming.rolling.run import Report, RollFailed, roll
from streaming.rolling.state import DAY_S, Index
from streaming.rolling.writable import writable

if TYPE_CHECKING:
    from streaming.kafka.admin import TopicReport
    from streaming.settings import Settings

TODAY = int(time.time()) // DAY_S
NOON = TODAY * DAY_S + DAY_S / 2.0


@dataclass
class Cluster:
    """Log indices of days ago, and what a roll makes of them. It is noon."""

    settings: Settings
    elastic: Connection
    now_s: float = NOON

    def day(self, ago: int, docs: int = 3, generation: str = "") -> str:
        """Makes a day's index with so many documents, a segment each; returns its own name."""
        name = index_name(self.settings.index_prefix, TODAY - ago)
        index = name + generation
        aliases = {"aliases": {name: {"is_write_index": True}}} if generation else {}
        self.ask("PUT", index, aliases)
        for _ in range(docs):
            self.ask("POST", f"{index}/_doc?refresh=true", {"message": "x"})
        return index

    def ask(self, method: str, path: str, body: object = None) -> bytes:
        """One request that must succeed."""
        answer = self.elastic.json(method, f"/{path}", body)
        assert answer.status < 400, answer.error()
        return answer.body

    def roll(self, **more: object) -> Report:
        return roll(self.settings, clock=lambda: self.now_s, **more)  # type: ignore[arg-type]

    def indices(self) -> dict[str, Index]:
        return {index.index: index for index in self.roll(dry_run=True).state.indices}

    def write(self, index: str) -> int:
        return self.elastic.json("POST", f"/{index}/_doc", {"message": "late"}).status


@pytest.fixture
def cluster(settings: Settings) -> Iterator[Cluster]:
    """With templates, and rule files that declare nothing."""
    rules = settings.home / "rules.yaml"
    rules.write_text("rules: []\n", encoding="utf-8")
    own = settings.model_copy(update={"rules_path": rules})
    elastic = Connection(settings.elastic)
    ensure_templates(own, elastic)
    yield Cluster(own, elastic)
    elastic.close()


def actions(report: Report) -> list[str]:
    return [type(action).__name__ for action in report.plan.actions]


def test_each_index_gets_what_its_age_asks_for_and_then_nothing_more(cluster: Cluster) -> None:
    yesterday, finished, generation = cluster.day(1), cluster.day(11), cluster.day(12, generation="-r2")
    expired = cluster.day(31)
    filling = cluster.day(2, generation="-r1")
    cluster.ask("POST", "_aliases", {"actions": [{"remove": {"index": filling, "alias": filling[:-3]}}]})
    dry = cluster.roll(dry_run=True)
    assert actions(dry) == ["DeleteIndex", *["MakeIndex"] * 3, *["FinishIndex", "MergeIndex"] * 2, "MergeIndex"]
    assert len(cluster.indices()) == 4, "a dry run changes nothing"
    said: list[str] = []
    report = cluster.roll(say=said.append)
    report.check()
    assert said == [str(action) for action in dry.plan.actions]
    assert any(filling in line for line in report.plan.warnings)
    found = cluster.indices()
    ahead = {index_name(cluster.settings.index_prefix, TODAY + n) for n in range(3)}
    assert set(found) == {yesterday, finished, generation, *ahead}
    assert expired not in found
    assert [found[name].segments for name in (yesterday, finished, generation)] == [1, 1, 1]
    assert [found[name].is_finished for name in (yesterday, finished, generation)] == [False, True, True]
    assert [found[name].docs for name in (yesterday, finished, generation)] == [3, 3, 3]
    assert (cluster.write(finished), cluster.write(yesterday)) == (403, 201)
    assert actions(cluster.roll()) == []


def test_more_than_a_quarter_is_not_deleted_unless_told_so(cluster: Cluster) -> None:
    days = {cluster.day(ago, docs=1) for ago in (0, 1, 33, 34)}
    report = cluster.roll()
    with pytest.raises(RollFailed, match=r"refused to delete 2 indices .* --allow-deleting 0\.5"):
        report.check()
    assert days <= set(cluster.indices())
    cluster.roll(allow_deleting=0.5).check()
    assert len(days & set(cluster.indices())) == 2


def test_drift_is_found_by_a_dry_run_and_repaired_by_a_roll(cluster: Cluster) -> None:
    prefix, index = cluster.settings.index_prefix, cluster.day(0)
    cluster.roll().check()
    cluster.ask("PUT", f"_index_template/{mapping.template_name(prefix)}", mapping.template(prefix) | {"priority": 400})
    cluster.ask("PUT", f"{index}/_mapping", {"dynamic": True})
    (repair,) = cluster.roll(dry_run=True).plan.actions
    assert "priority is 400" in str(repair)
    assert f"{index}: dynamic is" in str(repair)
    cluster.roll().check()
    assert actions(cluster.roll()) == []


def test_a_finished_index_is_open_while_something_late_is_written(cluster: Cluster) -> None:
    index = cluster.day(11, docs=1, generation="-r1")
    cluster.roll().check()
    assert cluster.write(index) == 403
    day = {index_name(cluster.settings.index_prefix, TODAY - 11, "*")}
    with writable(cluster.settings, day, lambda: int(cluster.now_s * 1000)) as opened:
        assert opened == [index]
        assert cluster.write(index) == 201
        assert actions(cluster.roll()) == [], "nobody blocks it meanwhile"
    assert cluster.write(index) == 201
    cluster.now_s += 3_700
    assert actions(cluster.roll())[0] == "FinishIndex"
    assert cluster.write(index) == 403
    cluster.ask("PUT", f"{index}/_mapping", {"_meta": {}})  # as a reindexing or a person blocks it
    with writable(cluster.settings, {index, "no-such-index"}) as opened:
        assert opened == []
    away = cluster.settings.model_copy(update={"elasticsearch_url": "http://127.0.0.1:1"})
    with writable(away, {index}) as opened:
        assert opened == []


def test_finished_indices_are_copied_into_the_repository(cluster: Cluster) -> None:
    repository = f"{cluster.settings.index_prefix}-copies"
    index = cluster.day(11, docs=1)
    cluster.settings = cluster.settings.model_copy(update={"snapshot_repository": repository})
    cluster.ask("PUT", f"_snapshot/{repository}", {"type": "fs", "settings": {"location": repository}})
    try:
        assert actions(cluster.roll())[-1] == "SnapshotIndex"
        there, cluster.settings = cluster.settings, cluster.settings.model_copy(update={"snapshot_repository": "no"})
        with pytest.raises(RollFailed, match="Register repository 'no'"):
            cluster.roll().check()
        cluster.settings = there
        assert actions(cluster.roll()) == []
        listed = msgspec.json.decode(cluster.ask("GET", f"_snapshot/{repository}/_all"))["snapshots"]
        assert [(one["indices"], one["state"]) for one in listed] == [([index], "SUCCESS")]
    finally:
        cluster.elastic.request("DELETE", f"/_snapshot/{repository}/*")
        cluster.elastic.request("DELETE", f"/_snapshot/{repository}")


def test_classes_of_the_rule_files_are_declared_once_and_get_indices_ahead(
    cluster: Cluster,
    topics: TopicReport,
    environment: dict[str, str],
) -> None:
    cluster.settings.rules_path.write_text(
        "retention:\n  - {name: audit, days: 365, services: [audit-*]}\n", encoding="utf-8"
    )
    assert actions(cluster.roll()) == ["DeclareClasses", *["MakeIndex"] * 5]
    (version,) = read_versions(cluster.settings)
    assert version.first_day == TODAY + 1
    assert actions(cluster.roll()) == []
    names = {name for name in cluster.indices() if "-audit-" in name}
    assert names == {index_name(cluster.settings.index_prefix, TODAY + n, "audit") for n in (1, 2)}

    def vigil(*arguments: str) -> str:
        variables = environment | {"VIGIL_RULES_PATH": str(cluster.settings.rules_path)}
        done = CliRunner().invoke(indices_app, arguments, env=variables, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    assert [line.split()[1] for line in vigil().splitlines()[1:6]] == [
        *("default", "audit", "default", "audit", "default")
    ]
    cluster.settings.rules_path.write_text("retention:\n  - {name: audit, days: 0}\n", encoding="utf-8")
    report = msgspec.json.decode(vigil("roll", "--json"))
    assert "rules.yaml:2: retention[0].days" in report["warnings"][0]
    assert read_versions(cluster.settings) == (version,)
