"""The pump: the cursor never passes what Kafka has and the ledger tells, whatever fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgpack
import pytest
from confluent_kafka import KafkaError, Producer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.accumulator.configuration.planner import load_plan
from streaming.accumulator.delivery import ledger, secondary
from streaming.accumulator.delivery.ledger import DAMAGED, FILE, SECONDARY, Entry, Page
from streaming.accumulator.delivery.outgoing import Converter
from streaming.accumulator.delivery.pump import Pump
from streaming.accumulator.delivery.routes import Router
from streaming.accumulator.delivery.secondary import Kept
from streaming.accumulator.spool.disk import Folder
from streaming.accumulator.spool.segment import Arrived
from streaming.accumulator.spool.spool import Spool
from streaming.events import coordinates
from streaming.settings import CHECKOUT

Callback = Callable[[KafkaError | None, object], None]
LEDGER = "accumulator-ledger"


class Message:
    """What a delivery callback is given; as the client has it, without the headers of what was produced."""

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def topic(self) -> str:
        return self._topic

    def headers(self) -> None:
        return None


class Kafka(Producer):
    """Confirms at `poll`, unless told otherwise."""

    def __init__(self) -> None:
        super().__init__({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
        self.waiting: list[tuple[str, bytes, list[tuple[str, bytes]], Callback]] = []
        self.delivered: list[tuple[str, bytes, str]] = []
        self.pages: list[Page] = []
        self.late: list[str] = []
        """Coordinates of what came under a replay header."""
        self.confirms = True
        self.room = 1_000_000
        self.error_for: Callable[[str, bytes], int | None] = lambda _topic, _value: None

    def produce(  # type: ignore[override]
        self,
        topic: str,
        value: bytes,
        key: bytes | str | None,
        partition: int = -1,
        callback: Callback | None = None,
        on_delivery: Callback | None = None,
        timestamp: int = 0,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> None:
        assert (partition, timestamp) == (-1, 0), "of the client's choice, and now"
        if len(self.waiting) >= self.room:
            raise BufferError
        confirm = callback or on_delivery
        assert confirm
        self.waiting.append((topic, value, headers or [], confirm))

    def poll(self, timeout: float = 0) -> int:
        if self.confirms:
            waiting, self.waiting = self.waiting, []
            for topic, value, headers, confirm in waiting:
                code = self.error_for(topic, value)
                if code is None:
                    self._take(topic, value, dict(headers))
                confirm(None if code is None else KafkaError(code), Message(topic))
        return 0

    def _take(self, topic: str, value: bytes, headers: dict[str, bytes]) -> None:
        if topic == LEDGER:
            self.pages.append(ledger.decode(value))
            return
        key = coordinates.decode(headers[coordinates.HEADER]).key
        self.delivered.append((topic, value, key))
        if coordinates.REPLAY_HEADER in headers:
            self.late.append(key.split(":", 1)[1])

    def flush(self, timeout: float = 0) -> int:
        return self.poll()

    def purge(self, *_: object, **__: object) -> None:
        self.waiting.clear()


class Bench:
    """A pump on a real folder, with everything around it at hand. Its clock stands unless a round moves it."""

    def __init__(self, folder: Path, conf: Path | None = None) -> None:
        self.kafka = Kafka()
        self.disk = Folder(folder / "spool")
        self.now = 1000.0
        self.spool = Spool(self.disk)
        self.spool.wait_for_growth = self._wait  # type: ignore[method-assign, assignment]
        self.reports: list[tuple[bool, str]] = []
        plan = load_plan(conf or CHECKOUT / "fluentd" / "fluent2.conf", {"VIGIL_SPOOL_DIR": str(folder / "secondary")})
        converter = Converter(
            "accumulator2", self.spool.incarnation, Router(plan), "dead-letters", plan.kafka_outputs()
        )
        self.folder = folder
        self.pump = Pump(
            "accumulator2",
            self.spool,
            converter,
            lambda *, alone=False: self.kafka,
            folder,
            lambda ok, why: self.reports.append((ok, why)),
            LEDGER,
            ["logs", "heartbeats", "dead-letters", LEDGER],
            clock=self._clock,
        )

    def _clock(self) -> float:
        """Each look takes a millisecond, so that a round ends."""
        self.now += 0.001
        return self.now

    def _wait(self, _beyond: int, timeout_s: float) -> None:
        self.now += timeout_s

    def run(self, rounds: int = 1, pause_s: float = 2.0) -> None:
        """Rounds with pauses between, in which a page of the ledger becomes due."""
        for _ in range(rounds):
            self.pump.run_once()
            self.now += pause_s
        self.pump.run_once()

    def spool_chunks(self, count: int, events: int = 3, text: str = "m") -> None:
        for n in range(count):
            body = b"".join(msgpack.packb([1, {"message": f"{text}{n}.{i}"}]) for i in range(events))
            self.spool.append([Arrived("app", body, events, False, b"", 1)])

    def keys(self, topic: str = "logs") -> list[str]:
        return [key.split(":", 1)[1] for t, _, key in self.kafka.delivered if t == topic]

    def fates(self) -> dict[int, Entry]:
        """What the ledger says, by sequence. A page that was refused comes after its successors."""
        return {entry.sequence: entry for page in self.kafka.pages for entry in ledger.entries(page)}

    def kept(self) -> list[Kept]:
        """All lines of all secondary files."""
        return [line for file in sorted(self.folder.rglob("undelivered/*.jsonl")) for line in secondary.read(file)]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.disk.close()


def test_chunks_are_delivered_in_order_and_the_cursor_follows_the_ledger(bench: Bench) -> None:
    bench.spool_chunks(3, events=2)
    bench.pump.run_once()
    assert bench.keys() == ["1:0", "1:1", "2:0", "2:1", "3:0", "3:1"]
    bench.run()
    assert bench.spool.delivered_to == 4
    assert bench.spool.backlog_bytes == 0
    assert [tuple(e) for e in bench.fates().values()] == [(n, 2, "logs", {}) for n in (1, 2, 3)]
    assert bench.kafka.pages[0].start


def test_the_cursor_waits_for_kafka_and_for_the_ledger(bench: Bench) -> None:
    bench.kafka.confirms = False
    bench.spool_chunks(2)
    bench.run()
    assert bench.spool.delivered_to == 1
    bench.kafka.confirms = True
    failures = [KafkaError.UNKNOWN_TOPIC_OR_PART] * 3
    bench.kafka.error_for = lambda topic, _value: failures.pop() if failures and topic == LEDGER else None
    bench.pump.run_once()
    assert (len(bench.keys()), bench.spool.delivered_to) == (6, 1)
    bench.run(6)
    assert bench.spool.delivered_to == 3
    assert [ok for ok, _ in bench.reports] == [False, True]
    assert LEDGER in bench.reports[0][1]
    assert len(bench.keys()) == 6, "trouble with the ledger produces nothing again"


def test_a_full_queue_is_waited_for_in_the_middle_of_a_chunk(bench: Bench) -> None:
    bench.kafka.room = 2
    bench.spool_chunks(2, events=5)
    while bench.spool.delivered_to < 3:
        bench.run()
    assert bench.keys() == [f"{s}:{p}" for s in (1, 2) for p in range(5)]


def test_what_is_no_refusal_is_produced_again_from_the_first_unsettled_chunk(bench: Bench) -> None:
    failures = [KafkaError._TRANSPORT]
    bench.kafka.error_for = lambda _topic, value: failures.pop() if failures and b"m1.0" in value else None
    bench.spool_chunks(3, events=2)
    bench.run(3)
    assert bench.spool.delivered_to == 4
    assert set(bench.keys()) == {f"{s}:{p}" for s in (1, 2, 3) for p in range(2)}
    assert [ok for ok, _ in bench.reports] == [False, True]
    values = {key: value for _, value, key in bench.kafka.delivered}
    assert all(values[key] == value for _, value, key in bench.kafka.delivered), "a repeated record is the same record"
    assert bench.kafka.late == []


def test_a_refused_record_is_tried_alone_and_nothing_waits_for_it(bench: Bench) -> None:
    """Seven times: at once, after 1 s, 2 s ...; then it passes. What lies behind goes on, the cursor waits."""
    failures = [KafkaError.POLICY_VIOLATION] * 5
    bench.kafka.error_for = lambda _topic, value: failures.pop() if failures and b"m0.1" in value else None
    bench.spool_chunks(3, events=2)
    bench.pump.run_once()
    assert bench.keys() == ["1:0", "2:0", "2:1", "3:0", "3:1"]
    assert bench.spool.delivered_to == 1
    bench.run(20)
    assert bench.keys()[5:] == ["1:1"]
    assert bench.kafka.late == ["1:1"], "a matcher that is past it takes it under its replay header"
    assert bench.spool.delivered_to == 4
    assert [ok for ok, _ in bench.reports if ok] == [True]
    assert bench.fates()[1] == (1, 2, "logs", {})


@pytest.mark.parametrize("error", [KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC])
def test_a_missing_topic_of_the_configuration_holds_up_no_other(tmp_path: Path, error: int) -> None:
    conf = tmp_path / "two.conf"
    conf.write_text(TWO_TOPICS)
    bench = Bench(tmp_path, conf)
    missing = {"own"}
    bench.kafka.error_for = lambda topic, _value: error if topic in missing else None
    for tag in ("own", "app", "own", "app"):
        body = msgpack.packb([1, {"message": tag}])
        bench.spool.append([Arrived(tag, body, 1, False, b"", 1)])
    bench.run(10)
    assert bench.keys("logs") == ["2:0", "4:0"], "each once"
    assert "topic own" in bench.reports[-1][1]
    missing.clear()
    bench.run(60)
    assert sorted(bench.keys("own")) == ["1:0", "3:0"]
    assert bench.spool.delivered_to == 5
    bench.disk.close()


def test_a_missing_topic_of_vigils_own_is_waited_for(bench: Bench) -> None:
    missing = {"logs"}
    bench.kafka.error_for = lambda topic, _value: KafkaError.UNKNOWN_TOPIC_OR_PART if topic in missing else None
    bench.spool_chunks(3, events=1)
    bench.run(5)
    assert bench.kafka.delivered == []
    missing.clear()
    bench.run(5)
    assert bench.keys() == ["1:0", "2:0", "3:0"]


TWO_TOPICS = """
<source>
  @type forward
</source>
<match own>
  @type kafka2
  brokers 127.0.0.1:9092
  default_topic own
  <format>
    @type json
  </format>
</match>
<match **>
  @type kafka2
  brokers 127.0.0.1:9092
  default_topic logs
  <format>
    @type json
  </format>
</match>
"""


def test_what_is_refused_for_good_becomes_a_dead_letter_and_then_a_line_of_a_file(bench: Bench) -> None:
    refused = {"logs": b"m0.1", "dead-letters": b"never"}
    bench.kafka.error_for = lambda topic, value: (
        KafkaError.TOPIC_AUTHORIZATION_FAILED if refused.get(topic, b"never") in value else None
    )
    bench.spool_chunks(1, events=3)
    bench.run(60, pause_s=300)
    assert bench.keys("dead-letters") == ["1:1"]
    assert bench.fates()[1].fates == {"logs": "0 2", "dead-letters": "1"}
    refused["dead-letters"] = b"m0.1"
    bench.spool_chunks(1, events=3)
    bench.run(120, pause_s=300)
    assert bench.fates()[2].fates == {"logs": "0 2", SECONDARY: "1"}
    (line,) = bench.kept()
    assert (line.topic, line.raw, line.reason) == ("logs", b'{"message":"m0.1"}', "refused:TOPIC_AUTHORIZATION_FAILED")
    assert bench.spool.delivered_to == 3


def test_a_whole_topic_that_refuses_is_bounded_in_memory(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streaming.accumulator.delivery.refused.HELD_CHUNKS", 10)
    bench.kafka.error_for = lambda topic, _value: KafkaError.TOPIC_AUTHORIZATION_FAILED if topic == "logs" else None
    bench.spool_chunks(40, events=1)
    bench.run(30, pause_s=0.5)
    assert len(bench.keys("dead-letters")) >= 29, "given up early, the oldest first"
    assert bench.keys("dead-letters")[:3] == ["1:0", "2:0", "3:0"]


def test_what_kafka_refuses_for_its_size_becomes_a_dead_letter_once_it_was_alone(bench: Bench) -> None:
    """Those in its batch are refused with it and pass at the second attempt."""
    batch = {b"m0.0", b"m0.1", b"m0.2"}

    def error_for(topic: str, value: bytes) -> int | None:
        together = next((m for m in batch if m in value), None)
        if topic == "logs" and together:
            batch.discard(together)
            return KafkaError.MSG_SIZE_TOO_LARGE
        return KafkaError.MSG_SIZE_TOO_LARGE if topic == "logs" and b"m0.1" in value else None

    bench.kafka.error_for = error_for
    bench.spool_chunks(2, events=3)
    bench.run(3)
    assert bench.spool.delivered_to == 3
    dead = [value for topic, value, _ in bench.kafka.delivered if topic == "dead-letters"]
    assert dead == [b'{"message":"m0.1"}']
    assert sorted(bench.keys()) == ["1:0", "1:2", "2:0", "2:1", "2:2"]
    assert bench.fates()[1].fates == {"logs": "0 2", "dead-letters": "1"}


def test_what_is_too_large_even_for_the_dead_letters_is_kept_in_a_file(bench: Bench) -> None:
    bench.spool_chunks(1, events=1, text="x" * 9_000_000)
    bench.run()
    assert bench.spool.delivered_to == 2
    (line,) = bench.kept()
    assert len(line.raw) > 9_000_000
    assert [topic for topic, _, _ in bench.kafka.delivered] == ["logs"]
    assert bench.fates()[1].fates == {"logs": "0", SECONDARY: "0"}


@pytest.mark.parametrize("broken", [False, True])
def test_what_kafka_refuses_for_its_size_as_a_dead_letter_too_is_kept_in_a_file(bench: Bench, broken: bool) -> None:
    """Dead letters of another's making may be as narrow as the logs; nothing may stand behind such a record."""
    bench.kafka.error_for = lambda _topic, value: KafkaError.MSG_SIZE_TOO_LARGE if b"odd" in value else None
    odd = msgpack.packb("odd" if broken else [1, {"message": "odd"}])
    body = odd + msgpack.packb([1, {"message": "usual"}])
    bench.spool.append([Arrived("app", body, 2, False, b"", 1)])
    bench.spool_chunks(1, events=1)
    bench.run(4)
    assert bench.spool.delivered_to == 3
    (line,) = bench.kept()
    assert b"odd" in line.raw


def test_a_file_that_cannot_be_written_is_tried_again_and_named(bench: Bench) -> None:
    bench.spool_chunks(1, events=1, text="x" * 9_000_000)
    in_the_way = bench.folder / "secondary"
    in_the_way.touch()
    bench.pump.run_once()
    assert bench.spool.delivered_to == 1
    assert [ok for ok, _ in bench.reports] == [False]
    assert "the disk fails" in bench.reports[0][1]
    assert str(in_the_way) in bench.reports[0][1]
    in_the_way.unlink()
    bench.run(2)
    assert bench.spool.delivered_to == 2
    assert bench.reports[-1] == (True, "")


def test_kafka_away_is_waited_for_and_only_age_sends_a_chunk_to_the_secondary(bench: Bench) -> None:
    """`retry_timeout` is 72 h by default, four fifths of it with a secondary; the spool keeps all until then."""
    bench.kafka.confirms = False
    bench.spool_chunks(2, events=2)  # received in 1970
    bench.spool.append([Arrived("app", msgpack.packb([1, {"message": "new"}]), 1, False, b"", time.time_ns())])
    bench.run(3, pause_s=3600)
    assert bench.kept() == []
    bench.run(4, pause_s=86_400)
    assert [line.raw for line in bench.kept()] == [b'{"message":"m%d.%d"}' % (n, i) for n in (0, 1) for i in (0, 1)]
    assert {line.reason for line in bench.kept()} == {"kafka-away"}
    assert bench.spool.delivered_to == 1, "the ledger has to say so first"
    bench.kafka.confirms = True
    bench.run(4)
    assert bench.spool.delivered_to == 4
    assert [bench.fates()[n].fates for n in (1, 2, 3)] == [{SECONDARY: "0-1"}, {SECONDARY: "0-1"}, {}]
    assert bench.keys()[-1] == "3:0"


def test_events_for_files_are_on_the_disk_before_the_cursor_moves(tmp_path: Path) -> None:
    conf = tmp_path / "files.conf"
    conf.write_text(
        f"<source>\n@type forward\n</source>\n<match app>\n@type copy\n<store>\n@type file\npath {tmp_path}/out/app\n"
        "append true\n<format>\n@type json\n</format>\n<buffer []>\n</buffer>\n</store>\n"
        "<store>\n@type kafka2\nbrokers k:1\ndefault_topic logs\n</store>\n</match>\n"
    )
    bench = Bench(tmp_path, conf)
    try:
        bench.spool_chunks(2, events=2)
        bench.run()
        assert (tmp_path / "out" / "app.log").read_text().splitlines() == [
            f'{{"message":"m{n}.{i}"}}' for n in (0, 1) for i in (0, 1)
        ]
        assert bench.fates()[2].fates == {"logs": "0-1", FILE: "0-1"}
        assert bench.spool.delivered_to == 3
    finally:
        bench.pump.close()
        bench.disk.close()


def test_a_sign_of_life_says_how_far_is_spooled(bench: Bench) -> None:
    bench.run(pause_s=0.1)
    assert [(p.first, p.last, p.next, p.start) for p in bench.kafka.pages] == [(1, 0, 1, True)]
    bench.run(3, pause_s=11)
    assert len(bench.kafka.pages) in (3, 4, 5)
    bench.pump.close()
    assert bench.kafka.pages[-1].end


def test_what_the_disk_has_lost_is_in_the_ledger_and_the_rest_goes_on(bench: Bench) -> None:
    bench.spool_chunks(3, events=4)
    (segment,) = (bench.folder / "spool").glob("*.segment")
    raw = bytearray(segment.read_bytes())
    raw[raw.index(b"m1.2")] ^= 1
    segment.write_bytes(raw)
    bench.run()
    assert bench.spool.delivered_to == 4
    assert sorted(bench.fates()) == [1, 3]
    spans = {kind: found for page in bench.kafka.pages for kind, found in page.gaps.items()}
    assert spans == {DAMAGED: [(2, 2, 4)]}


def test_a_new_pump_begins_where_the_cursor_is(bench: Bench, tmp_path: Path) -> None:
    bench.spool_chunks(2)
    bench.pump.run_once()
    bench.pump.close()
    assert bench.spool.delivered_to == 3, "the last page is written before the end"
    bench.disk.close()
    again = Bench(tmp_path)
    again.spool_chunks(1)
    again.pump.run_once()
    assert again.keys() == ["3:0", "3:1", "3:2"]
    bench.disk = again.disk


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), counts=st.lists(st.integers(1, 4), min_size=1, max_size=8))
def test_whatever_fails_the_ledger_says_where_every_event_is(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, counts: list[int]
) -> None:
    """Errors of every kind at any record, and a kill at any time: nothing is missing, nothing wrong is said."""
    errors = data.draw(
        st.lists(
            st.sampled_from(
                [
                    None,
                    None,
                    KafkaError._TRANSPORT,
                    KafkaError.POLICY_VIOLATION,
                    KafkaError.MSG_SIZE_TOO_LARGE,
                    KafkaError.INVALID_RECORD,
                ]
            ),
            max_size=60,
        )
    )
    folder = tmp_path_factory.mktemp("pump")
    bench = Bench(folder)
    kafka = bench.kafka
    for n, count in enumerate(counts):
        bench.spool_chunks(1, events=count, text=f"c{n}-")
    for kill in data.draw(st.lists(st.booleans(), max_size=6)):
        kafka.error_for = lambda _topic, _value: errors.pop() if errors else None
        bench.run(data.draw(st.integers(1, 3)), pause_s=data.draw(st.sampled_from([0.1, 2.0, 700.0])))
        if kill:
            bench.disk.close()
            bench = Bench(folder)
            bench.pump.producer = bench.kafka = kafka
    kafka.error_for = lambda _topic, _value: None
    bench.run(40, pause_s=700.0)
    bench.disk.close()
    fates = bench.fates()
    assert bench.spool.delivered_to == len(counts) + 1
    assert sorted(fates) == list(range(1, len(counts) + 1))
    delivered = {(topic, key.split(":", 1)[1]) for topic, _, key in kafka.delivered}
    kept = {coordinates.decode(line.coordinates.encode()).key.split(":", 1)[1] for line in bench.kept()}
    for sequence, entry in fates.items():
        assert entry.events == counts[sequence - 1]
        for place, places in (entry.fates or {entry.topic: f"0-{entry.events - 1}"}).items():
            for first, last in ledger.ranges_of(str(places)):
                for position in range(first, last + 1):
                    key = f"{sequence}:{position}"
                    assert key in kept if place == SECONDARY else (place, key) in delivered


def test_a_pump_with_nothing_to_do_hears_what_kafka_answers_to_others_of_its_client(bench: Bench) -> None:
    """The accumulator's own beat is the next one's condition: without traffic it beat no more."""
    bench.run()
    answers: list[object] = []
    place = [(coordinates.HEADER, coordinates.encode(coordinates.Coordinates("a", "i", 1, 0, 0, 0, "t")))]
    bench.kafka.produce("heartbeats", b"{}", "a", on_delivery=lambda error, _: answers.append(error), headers=place)
    bench.pump.run_once()
    assert answers == [None]


def test_how_far_is_delivered_follows_what_kafka_confirms(bench: Bench) -> None:
    bench.pump.run_once()
    assert bench.pump.delivered_to_ns(77) == 77, "nothing waits"
    bench.kafka.confirms = False
    bench.spool.append([Arrived("app", msgpack.packb([1, {"message": "m"}]), 1, False, b"", 100)])
    assert bench.pump.delivered_to_ns(150) == 77, "it is not read yet"
    bench.run()
    assert bench.pump.delivered_to_ns(200) == 100, "it is under way"
    bench.kafka.confirms = True
    bench.run()
    assert bench.pump.delivered_to_ns(300) == 300
    assert bench.pump.delivered_to_ns(250) == 250, "a clock that is set back is followed"
