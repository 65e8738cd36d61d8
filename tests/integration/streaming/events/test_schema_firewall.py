"""Elasticsearch takes whatever is sent, all of it is found again, and its mapping stays as it was."""

from __future__ import annotations

import json
import random
import string
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from streaming.elastic import bulk, mapping
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import ensure_templates
from streaming.events import coordinates
from streaming.events.coordinates import Coordinates
from streaming.indexer.prepare import Prepared, Preparer
from streaming.retention.classes import Retention
from streaming.settings import Settings
from tests.support.fake_message import fake_message
from tests.support.hostile import NASTY_KEYS, NASTY_NUMBERS, NASTY_TEXTS, Hostile, hostile_records, missing


@pytest.fixture(scope="module")
def needed_servers() -> tuple[str, ...]:
    """No Kafka."""
    return ("elasticsearch",)


class Firewall:
    """Records through the indexer's own preparation into a real index of the real template."""

    def __init__(self, settings: Settings) -> None:
        self._elastic = Connection(settings.elastic)
        self._preparer = Preparer(settings.index_prefix, Retention(settings.retention_days))
        self._sequence = 0
        ensure_templates(settings, self._elastic)
        self._pattern = mapping.logs_pattern(settings.index_prefix)
        self._index = self._index_of_today()
        assert self._elastic.request("PUT", f"/{self._index}").status == 200

    def put(self, values: Sequence[bytes]) -> list[dict[str, Any] | None]:
        """Indexes them in one request; the document of each as Elasticsearch has it, None for dead letters."""
        self._sequence += 1
        prepared = self._prepare(values)
        # What has a log_id and comes twice is one document.
        taken = (bulk.Verdict.DONE, bulk.Verdict.DUPLICATE)
        refused = [o for o in self._send(prepared.items) if o.verdict not in taken]
        assert not refused, refused[:3]
        ids = [json.loads(item.split(b"\n", 1)[0])["create"]["_id"] for item in prepared.items]
        answer = self._elastic.json("POST", f"/{self._index}/_mget", {"ids": ids}) if ids else None
        documents = iter(json.loads(answer.body)["docs"] if answer else [])
        made = {message.offset() for message in prepared.documents}
        return [next(documents)["_source"] if offset in made else None for offset in range(len(values))]

    def put_many(self, values: Iterable[bytes], each: int) -> int:
        """The same without looking at the documents, so many a request; how many there were."""
        total = 0
        waiting = iter(values)
        while part := [*islice(waiting, each)]:
            self._sequence += 1
            prepared = self._prepare(part)
            assert len(prepared.items) == len(part)
            assert all(o.verdict is bulk.Verdict.DONE for o in self._send(prepared.items))
            total += len(part)
        return total

    def mapping(self) -> object:
        """As it is now."""
        return json.loads(self._elastic.request("GET", f"/{self._pattern}/_mapping").body)

    def found(self, query: dict[str, object]) -> int:
        """How many documents match."""
        self._elastic.request("POST", f"/{self._pattern}/_refresh")
        body = {"query": query}
        return int(json.loads(self._elastic.json("POST", f"/{self._pattern}/_count", body).body)["count"])

    def close(self) -> None:
        """Disconnects."""
        self._elastic.close()

    def _prepare(self, values: Sequence[bytes]) -> Prepared:
        now = time.time_ns()
        places = [Coordinates("acc", "inc", self._sequence, n, now, 0, "app") for n in range(len(values))]
        return self._preparer.prepare(
            [
                fake_message(value, [(coordinates.HEADER, coordinates.encode(at))], topic="logs", offset=at.position)
                for value, at in zip(values, places, strict=True)
            ]
        )

    def _send(self, items: Sequence[bytes]) -> list[bulk.Outcome]:
        if not items:
            return []
        read = bulk.read_answer(bulk.send(self._elastic, items), len(items), 1)
        assert not isinstance(read, bulk.Whole), read
        return read if read is not None else [bulk.DONE] * len(items)

    def _index_of_today(self) -> str:
        message = fake_message(b"x", topic="logs", appended_ms=time.time_ns() // 1_000_000)
        return bulk.index_of(self._preparer.prepare([message]).items[0])


@pytest.fixture
def firewall(settings: Settings) -> Iterator[Firewall]:
    """An index of this test's own."""
    made = Firewall(settings)
    yield made
    made.close()


@hypothesis_settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # without shrinking: each look costs a request
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(records=st.lists(hostile_records, min_size=10, max_size=25))
def test_nothing_is_refused_and_nothing_lost(firewall: Firewall, records: list[Hostile]) -> None:
    before = firewall.mapping()
    for record, document in zip(records, firewall.put([r.value for r in records]), strict=True):
        if document is not None:
            assert not missing(record, document), record
    assert firewall.mapping() == before


def test_every_nasty_key_text_and_number_by_itself(firewall: Firewall) -> None:
    def as_json(value: object) -> bytes:
        return json.dumps(value).encode()

    fields = [
        "timestamp",
        "level",
        "message",
        "service",
        "node_id",
        "log_id",
        "host",
        "logger",
        "pid",
        "thread",
        "error",
        "http",
        "labels",
        "x",
    ]
    values = [as_json({key: "v"}) for key in NASTY_KEYS]
    values += [as_json({key: {key: ["v", {key: 1}]}}) for key in NASTY_KEYS]
    values += [as_json({field: text, "y": text}) for text in NASTY_TEXTS for field in fields]
    values += [b'{"%s": %s, "y": 1}' % (f.encode(), n.encode()) for n in NASTY_NUMBERS for f in fields]
    values += [b'{"x": {"a": 1}}', b'{"x": 1}', b'{"x": [1, "a", null, {"a": [[]]}]}', b'{"@timestamp": {"a": 1}}']
    values += [as_json({"a": {"b": 1}, "a.b": 2, "a_b": 3})]
    for start in range(0, len(values), 200):
        assert None not in firewall.put(values[start : start + 200])


def test_one_object_of_as_many_keys_as_a_record_holds(firewall: Firewall) -> None:
    before = firewall.mapping()
    text = "{" + ",".join(f'"{n:x}":{n % 10}' for n in range(100_000)) + "}"
    assert len(text) < 1_040_000
    (document,) = firewall.put([text.encode()])
    assert document is not None
    assert len(document["labels"]) == 100_000
    assert firewall.mapping() == before
    assert firewall.found({"term": {"labels.1869f": "9"}}) == 1


def test_fifty_thousand_keys_leave_the_mapping_as_it_was(firewall: Firewall) -> None:
    _many_keys(firewall, 50_000)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_million_keys_leave_the_mapping_as_it_was(firewall: Firewall) -> None:
    _many_keys(firewall, 1_000_000)


def _many_keys(firewall: Firewall, count: int) -> None:
    """100 keys a log that no log before had, as of one who puts ids into names of fields."""
    before = firewall.mapping()
    names = random.Random(7)
    letters = string.ascii_letters + "._-$ "

    def record(number: int) -> bytes:
        keys = {"".join(names.choices(letters, k=6)) + f"{number * 100 + n:x}": f"v{n}" for n in range(100)}
        return json.dumps({"message": "many", "log_level": "INFO", f"only{number}": {"deep": 1}} | keys).encode()

    assert firewall.put_many(map(record, range(count // 100)), each=200) == count // 100
    assert firewall.mapping() == before
    assert firewall.found({"exists": {"field": "labels.only7.deep"}}) == 1
