"""Logs of retention classes: indexer, verify and reindex name the same index; a finished one takes what comes late."""

from __future__ import annotations

import time
from datetime import date
from typing import TYPE_CHECKING

import pytest

from streaming.elastic.connection import Connection
from streaming.elastic.ensure import ensure_templates
from streaming.elastic.finished import Mark, finish, marks
from streaming.indexer.identity import NS_PER_DAY, index_name
from streaming.reindex.begin import Begin
from streaming.reindex.run import reindex
from streaming.retention.classes import Class, Version
from streaming.retention.versions import declare, read_versions
from streaming.verify import verify

if TYPE_CHECKING:
    from tests.integration.streaming.indexer.conftest import Lab

CLASSES = (Class("payments", 90, services=("pay*",)), Class("short", 3, levels=("DEBUG",)))


def declared(lab: Lab) -> None:
    """As if two days ago."""
    two_days_ago = time.time_ns() // NS_PER_DAY - 2
    declare(lab.settings, Version(date.fromordinal(two_days_ago + date(1970, 1, 1).toordinal()), CLASSES))


def test_what_is_declared_is_read_in_its_order(lab: Lab) -> None:
    assert read_versions(lab.settings) == ()
    one, other = Version(date(2026, 11, 27), CLASSES), Version(date(2026, 11, 27), ())
    for version in (one, other, one):
        declare(lab.settings, version)
    assert read_versions(lab.settings) == (other, one)
    assert read_versions(lab.settings.model_copy(update={"topic_prefix": "never-made-"})) == ()


def test_indexer_verify_and_reindex_find_the_same_index(lab: Lab) -> None:
    declared(lab)
    day = time.time_ns() // NS_PER_DAY
    lab.put(
        lab.line(1, service_name="pay", log_level="DEBUG"),
        lab.line(2, service_name="order", log_level="DEBUG"),
        b'{"message": "a dialect", "level": "debug"}',
        lab.line(3, service_name="order", log_level="INFO"),
    )
    lab.put(lab.line(4, service_name="pay"), received_ns=time.time_ns() - 3 * NS_PER_DAY)  # before the classes
    lab.put(lab.line(5, service_name="order", log_level="DEBUG"), received_ns=time.time_ns() - 40 * NS_PER_DAY)
    lab.start()
    lab.settled()
    prefix = lab.settings.index_prefix
    where = {str(d["message"]): str(d["_index"]).removesuffix("-r1") for d in lab.documents()}
    expected = {
        "payment 1 went through": index_name(prefix, day, "payments"),
        "payment 2 went through": index_name(prefix, day, "short"),
        "a dialect": index_name(prefix, day, "short"),
        "payment 3 went through": index_name(prefix, day),
        "payment 4 went through": index_name(prefix, day - 3),
    }
    assert where == expected
    report = verify(lab.settings)
    assert (report.lost_events, sum(p.expired for p in report.partitions)) == (0, 1)
    elastic = Connection(lab.settings.elastic)
    finish(elastic, index_name(prefix, day - 3), Mark(merged=True, finished_ms=1))
    made = reindex(lab.settings, Begin())
    assert marks(elastic, f"{prefix}-logs-*") == {}, "made anew, it is not finished"
    elastic.close()
    assert {one.name for one in made.indices} == set(expected.values())
    where = {str(d["message"]): str(d["_index"]).removesuffix("-r1") for d in lab.documents()}
    assert where == expected


@pytest.mark.parametrize("generation", ["", "-r1"])
def test_a_finished_index_takes_a_record_that_comes_late(lab: Lab, generation: str) -> None:
    elastic = Connection(lab.settings.elastic)
    ensure_templates(lab.settings, elastic)
    received = time.time_ns() - 12 * NS_PER_DAY
    name = index_name(lab.settings.index_prefix, received // NS_PER_DAY)
    index = name + generation
    aliases = {"aliases": {name: {"is_write_index": True}}} if generation else {}
    assert elastic.json("PUT", f"/{index}", aliases).status == 200
    finish(elastic, index, Mark(merged=True, finished_ms=1))
    lab.put(lab.line(1), received_ns=received)
    lab.put(lab.line(2))
    lab.start()
    lab.settled()
    assert {str(d["_index"]) for d in lab.documents()} == {
        index,
        index_name(lab.settings.index_prefix, time.time_ns() // NS_PER_DAY),
    }
    mark = marks(elastic, index)[index]
    assert (mark.finished_ms, mark.merged) == (0, True)
    assert mark.writable_until_ms > time.time_ns() // 1_000_000
    assert "finished indices opened" in lab.output()
    ensure_templates(lab.settings, elastic)
    assert marks(elastic, index)[index] == mark, "a repair of the mapping leaves the mark"
    elastic.close()
