"""The real indexer between a real Kafka and a real Elasticsearch: nothing lost, nothing doubled."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, cast

from streaming.kafka.topics import DEAD_LETTERS, HEARTBEATS, REGISTRATIONS

if TYPE_CHECKING:
    from tests.integration.streaming.indexer.conftest import Lab, Proxy

BROKEN = (b"\xff\xfe\x00broken", b"  ", b"{}")
"""What no dialect reads."""

DAY_NS = 86_400 * 1_000_000_000


def test_killed_in_the_middle_nothing_is_lost_or_doubled(lab: Lab) -> None:
    count = 20_000
    lab.put(*(lab.line(n) for n in range(count)), *BROKEN)
    for kill_at in (1, 8_000):
        process = lab.start()
        lab.wait(lambda at=kill_at: lab.count() >= at, 60, f"{kill_at} documents")  # type: ignore[misc]
        process.kill()
        process.wait()
    lab.start()
    lab.settled()

    assert lab.log_ids() == {f"l{n}": 1 for n in range(count)}
    assert sum(lab.committed().values()) == count + len(BROKEN)
    letters = {letter.value() for letter in lab.read(DEAD_LETTERS)}  # at least once, so a set
    assert letters == set(BROKEN)


def test_dead_letters_carry_the_bytes_the_reason_and_the_place(lab: Lab) -> None:
    lab.put(b"\xff\xfe\x00broken")
    lab.start()
    lab.settled()
    (letter,) = lab.read(DEAD_LETTERS)
    headers = dict(cast(list[tuple[str, bytes]], letter.headers()))
    assert letter.value() == b"\xff\xfe\x00broken"
    assert headers["reason"] == b"not-utf8"
    assert headers["topic"] == lab.settings.topic("logs").encode()
    assert headers["worker"] == b"indexer"
    assert headers["vigil"].startswith(b"acc1:inc0:1:0:")
    assert int(headers["offset"]) == 0
    assert int(headers["partition"]) in range(6)


def test_sent_twice_is_one_document_and_one_log_id_twice_is_two(lab: Lab) -> None:
    lines = [lab.line(n) for n in range(50)]
    lab.put(*lines)
    lab.put(*lines)
    lab.put(lab.line(0, message="the counter started again"))
    lab.put(b"a plain line", b"a plain line")
    lab.start()
    lab.settled()
    ids = lab.log_ids()
    assert ids.pop("None") == 2
    assert ids.pop("l0") == 2
    assert set(ids.values()) == {1}
    assert len(ids) == 49


def test_unknown_keys_never_change_the_mapping(lab: Lab) -> None:
    lab.put(lab.line(0))
    lab.start()
    lab.settled()
    before = lab.mappings()
    lab.put(*(lab.line(n, **{f"key{n}": n, "nested": {f"deep.{n}": {"": [n, "x"]}}}) for n in range(1, 1001)))
    lab.settled()
    assert lab.mappings() == before
    assert lab.count() == 1001
    assert lab.read(DEAD_LETTERS) == []


def test_beats_and_registrations_among_the_logs_go_where_they_belong(lab: Lab) -> None:
    beat = {"node_id": "n1", "message_type": "HEARTBEAT", "status": "UP", "timestamp": "2026-11-24T06:40:00Z"}
    registration = {
        "node_id": "n2",
        "message_type": "REGISTRATION",
        "service_name": "s",
        "timestamp": beat["timestamp"],
    }
    lab.put(cast("dict[str, object]", beat), cast("dict[str, object]", registration), headers=False)
    lab.start()
    lab.settled()
    ((moved,), (registered,)) = lab.read(HEARTBEATS), lab.read(REGISTRATIONS)
    assert (moved.key(), json.loads(moved.value() or b"")) == (b"n1", beat)
    assert (registered.key(), json.loads(registered.value() or b"")) == (b"n2", registration)
    assert lab.count() == 0


def test_without_coordinates_the_offset_and_append_time_stand_in(lab: Lab) -> None:
    lab.put(b"a plain line", b"a plain line", headers=False)
    lab.start()
    lab.settled()
    documents = lab.documents()
    assert len(documents) == 2
    sources = {str(cast(dict[str, object], d["vigil"])["source"]) for d in documents}
    assert all(source.startswith(lab.settings.topic("logs")) for source in sources)
    assert len(sources) == 2


def test_a_day_past_retention_is_expired_and_its_index_never_made(lab: Lab) -> None:
    now = time.time_ns()
    lab.put(lab.line(1), received_ns=now - 31 * DAY_NS - DAY_NS)
    lab.put(lab.line(2), received_ns=now - 3 * DAY_NS)
    lab.put(lab.line(3), received_ns=5)
    lab.start()
    lab.settled()
    (kept,) = lab.documents()
    assert cast(dict[str, object], kept["vigil"])["log_id"] == "l2"
    assert str(kept["_index"]).endswith(time.strftime("%Y.%m.%d", time.gmtime(now / 1e9 - 3 * 86_400)))
    (letter,) = lab.read(DEAD_LETTERS)
    assert dict(cast(list[tuple[str, bytes]], letter.headers()))["reason"] == b"receive-time"


def test_elasticsearch_away_and_back_nothing_is_lost(lab: Lab, proxy: Proxy) -> None:
    lab.start(VIGIL_ELASTICSEARCH_URL=proxy.url)
    lab.put(*(lab.line(n) for n in range(1000)))
    lab.settled()
    proxy.cut()
    for part in range(5):
        lab.put(*(lab.line(n) for n in range(1000 + part * 4000, 5000 + part * 4000)))
    lab.wait(lambda: "elasticsearch unavailable" in lab.check("elasticsearch")[1], 20, "health says so")
    assert lab.check("kafka")[0]
    committed = sum(lab.committed().values())
    assert committed < 21_000
    proxy.mend()
    lab.settled()
    assert lab.log_ids() == {f"l{n}": 1 for n in range(21_000)}
    lab.wait(lambda: lab.check("elasticsearch")[0], 20, "health says available")


def test_started_before_elasticsearch_it_waits_and_says_so(lab: Lab, proxy: Proxy) -> None:
    proxy.cut()
    lab.start(VIGIL_ELASTICSEARCH_URL=proxy.url)
    lab.put(lab.line(1))
    lab.wait(lambda: "elasticsearch unavailable" in lab.check("elasticsearch")[1], 20, "health says so")
    proxy.mend()
    lab.settled()
    assert lab.log_ids() == {"l1": 1}


def test_a_write_block_holds_the_logs_back_and_loses_none(lab: Lab) -> None:
    lab.put(lab.line(0))
    lab.start()
    lab.settled()
    lab.block_writes(True)
    lab.put(*(lab.line(n) for n in range(1, 500)))
    lab.wait(lambda: "cluster_block_exception" in lab.check("elasticsearch")[1], 20, "health names the block")
    lab.block_writes(False)
    lab.settled()
    assert lab.log_ids() == {f"l{n}": 1 for n in range(500)}
    assert lab.read(DEAD_LETTERS) == []


def test_mostly_unreadable_input_stops_it_with_the_reason(lab: Lab) -> None:
    lab.put(*[b"\xff\xfe"] * 1500)
    process = lab.start()
    assert process.wait(30) == 1
    assert "would be dead letters: not-utf8" in lab.output().splitlines()[-1]
    assert lab.lag() > 0


def test_two_share_the_partitions_and_one_takes_over(lab: Lab) -> None:
    first = lab.start()
    lab.start(slot=1)
    lab.put(*(lab.line(n) for n in range(3_000)))
    lab.settled()
    lab.put(*(lab.line(n) for n in range(3_000, 12_000)))
    first.terminate()
    assert first.wait(10) == 0
    lab.put(*(lab.line(n) for n in range(12_000, 15_000)))
    lab.settled()
    assert lab.log_ids() == {f"l{n}": 1 for n in range(15_000)}


def test_what_retention_took_before_it_was_read_is_told(lab: Lab) -> None:
    """A consumer that is set to the beginning of what is left says nothing of it by itself."""
    lab.put(*(lab.line(n) for n in range(300)))
    first = lab.start()
    lab.settled()
    first.terminate()
    first.wait(15)
    lab.put(*(lab.line(n) for n in range(300, 900)))
    taken = lab.delete_before({partition: offset + 20 for partition, offset in lab.committed().items()})
    lab.start()
    lab.wait(lambda: "deleted by Kafka's retention" in lab.check("retention")[1], 30, "health says so")
    lab.settled()
    lab.wait(lambda: lab.check("retention")[1].startswith(f"{taken} records"), 30, f"{taken} records are told")
    assert len(lab.log_ids()) == 900 - taken
    assert '"log_level": "ERROR"' in lab.output()
    assert "records deleted by Kafka before they were read" in lab.output()
