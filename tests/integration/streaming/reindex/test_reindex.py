"""`vigil reindex` beside a running indexer, on a real Kafka and a real Elasticsearch."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from streaming.elastic.connection import Connection
from streaming.reindex.begin import Begin
from streaming.reindex.generations import Generations
from streaming.reindex.run import Busy, Report, reindex
from streaming.settings import Settings

if TYPE_CHECKING:
    from tests.integration.streaming.indexer.conftest import Lab

from tests.integration.streaming.indexer.conftest import lab  # noqa: F401 (a fixture)


@pytest.fixture
def elastic(settings: Settings) -> Iterator[Connection]:
    connection = Connection(settings.elastic)
    yield connection
    connection.close()


def _name(settings: Settings, elastic: Connection) -> str:
    """Today's index: the one alias or index whose name has no generation."""
    found = Generations(elastic, settings.index_prefix).found()
    names = {name for index, aliases in found.items() for name in (aliases or {index})}
    assert len(names) == 1, found
    return names.pop()


def _hidden(settings: Settings, elastic: Connection) -> list[str]:
    found = Generations(elastic, settings.index_prefix).found()
    seen = json.loads(elastic.request("GET", f"/{settings.index_prefix}-logs-*/_mapping").body)
    return sorted(found.keys() - seen.keys())


def test_indices_are_made_anew_while_logs_come_in(lab: Lab, settings: Settings, elastic: Connection) -> None:  # noqa: F811
    lab.start()
    lab.put(*(lab.line(n) for n in range(1_000)))
    lab.settled()
    before = {d["_id"]: d for d in lab.documents()}
    # One that Kafka does not have (retention took it), and one that the old index has lost.
    name = _name(settings, elastic)
    only_old = json.loads(json.dumps(lab.documents()[0])) | {"message": "only in the old index"}
    only_old.pop("_id"), only_old.pop("_index")
    assert elastic.json("PUT", f"/{name}/_create/only-old?refresh=true", only_old).status == 201
    assert elastic.request("DELETE", f"/{name}/_doc/{next(iter(before))}?refresh=true").status == 200

    stop = threading.Event()
    sent = 1_000

    def keep_logging() -> None:
        nonlocal sent
        while not stop.wait(0.05):
            lab.put(*(lab.line(n) for n in range(sent, sent + 5)))
            sent += 5

    logging = threading.Thread(target=keep_logging)
    logging.start()
    try:
        report = reindex(settings, Begin())
    finally:
        stop.set()
        logging.join()
    lab.settled()

    assert _name(settings, elastic) == name
    assert [(i.name, i.index, i.before) for i in report.indices] == [(name, f"{name}-r1", name)]
    assert report.indices[0].from_kafka >= 1_000
    assert report.indices[0].copied >= 1
    after = {str(d["_id"]): d for d in lab.documents()}
    assert len(after) == sent + 1
    assert {d["_index"] for d in after.values()} == {f"{name}-r1"}
    assert after["only-old"]["message"] == "only in the old index"
    assert before.keys() <= after.keys()
    assert _hidden(settings, elastic) == []

    again = reindex(settings, Begin())
    assert [(i.index, i.before) for i in again.indices] == [(f"{name}-r2", f"{name}-r1")]
    assert again.indices[0].copied == 1
    assert {str(d["_id"]) for d in lab.documents()} == after.keys()
    lab.put(lab.line(sent))
    lab.settled()
    assert lab.count() == sent + 2


def test_a_lost_index_is_made_from_kafka(lab: Lab, settings: Settings, elastic: Connection) -> None:  # noqa: F811
    lab.start()
    lab.put(*(lab.line(n) for n in range(100)))
    lab.settled()
    name = _name(settings, elastic)
    assert elastic.request("DELETE", f"/{name}").status == 200
    report = reindex(settings, Begin())
    assert [(i.before, i.from_kafka, i.copied) for i in report.indices] == [(None, 100, 0)]
    assert lab.count() == 100


def test_offsets_and_times_choose_what_is_read(lab: Lab, settings: Settings, elastic: Connection) -> None:  # noqa: F811
    lab.start()
    lab.put(*(lab.line(n) for n in range(70)))
    lab.settled()
    ends = lab.committed()
    assert reindex(settings, Begin(since_ms=4_000_000_000_000)) == Report()
    assert reindex(settings, Begin(offset=max(ends.values()))) == Report()
    partition, end = max(ends.items(), key=lambda item: item[1])
    report = reindex(settings, Begin(offsets=((partition, end - 3),)))
    assert report.read == 3
    assert [(i.from_kafka, i.copied) for i in report.indices] == [(3, 67)]
    assert lab.count() == 70


def test_what_an_ended_one_left_is_deleted_and_two_do_not_run(
    lab: Lab,  # noqa: F811
    settings: Settings,
    elastic: Connection,
) -> None:
    lab.start()
    lab.put(*(lab.line(n) for n in range(10)))
    lab.settled()
    name = _name(settings, elastic)
    Generations(elastic, settings.index_prefix).begin(name)
    assert _hidden(settings, elastic) == [f"{name}-r1"]

    def begin_another(*_: object) -> None:
        assert _hidden(settings, elastic) == [f"{name}-r1"]
        reindex(settings, Begin())

    with pytest.raises(Busy):  # which also ends the first one
        reindex(settings, Begin(), begin_another)
    assert _hidden(settings, elastic) == []
    assert lab.count() == 10
    lab.put(lab.line(10))
    lab.settled()
    assert lab.count() == 11
