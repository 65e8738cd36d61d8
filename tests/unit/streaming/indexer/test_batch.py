"""A batch is over exactly when each of its documents has its verdict, whatever the server answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.elastic import bulk
from streaming.elastic.bulk import DONE, Outcome, Verdict, Whole
from streaming.indexer import backoff, batch
from streaming.indexer.batch import Batch, Next, Request
from streaming.indexer.prepare import Prepared

if TYPE_CHECKING:
    from tests.unit.streaming.indexer.conftest import MakeMessage


def begun(message: MakeMessage, count: int, size: int = 10) -> tuple[Batch, list[Request]]:
    documents = [message(b"x", offset=n) for n in range(count)]
    return batch.start(Prepared(read=count, documents=documents, items=[b"x" * size] * count), [])


def follow_ups(follows: Next) -> list[Request]:
    return [*follows.now, *(r for r in (follows.later, follows.no_index, follows.blocked) if r is not None)]


def test_without_documents_it_is_over_at_once(message: MakeMessage) -> None:
    made, requests = begun(message, 0)
    assert (made.outstanding, requests) == (0, [])


def test_what_is_too_large_for_one_request_travels_in_several(message: MakeMessage) -> None:
    made, (request,) = begun(message, 5, size=300)
    parts = batch.cut(request, 700)
    assert [list(part.positions) for part in parts] == [[0, 1], [2, 3], [4]]
    assert made.outstanding == 3
    assert batch.cut(parts[0], 600) == [parts[0]]
    assert [list(part.positions) for part in batch.cut(parts[0], 1)] == [[0], [1]]
    assert made.outstanding == 4


def test_each_verdict_goes_its_way(message: MakeMessage) -> None:
    made, (request,) = begun(message, 6)
    refused = [Verdict.RETRY, Verdict.NO_INDEX, Verdict.DEAD_LETTER, Verdict.BLOCKED]
    verdicts = [Verdict.DONE, Verdict.DUPLICATE, *refused]
    follows = batch.answered(request, [Outcome(v, "why", "detail") for v in verdicts])
    assert follows.later is not None
    assert follows.no_index is not None
    assert follows.blocked is not None
    assert list(follows.later.positions) == [2]
    assert list(follows.blocked.positions) == [5]
    assert list(follows.no_index.positions) == [3]
    assert (made.indexed, made.duplicates) == (1, 1)
    assert [letter.reason for letter in made.letters] == ["elasticsearch:why"]
    assert made.outstanding == 3


def test_a_poisoned_request_is_halved_until_the_poison_is_alone(message: MakeMessage) -> None:
    made, requests = begun(message, 64)
    sent = 0
    while requests:
        request, sent = requests.pop(), sent + 1
        poisoned = 41 in request.positions
        requests += batch.answered(request, Whole("malformed", split=True) if poisoned else None).now
    assert (made.indexed, made.outstanding) == (63, 0)
    assert [letter.message.offset() for letter in made.letters] == [41]
    assert sent == 13


def test_what_expired_meanwhile_is_not_sent_again(message: MakeMessage) -> None:
    items = [bulk.item(bulk.create_line(index), b"1", b"{}") for index in ("a", "b", "a")]
    made, (request,) = batch.start(Prepared(3, [message(b"x", offset=n) for n in range(3)], items), [])
    assert request.indices() == {"a", "b"}
    (again,) = batch.index_is_there(request, lambda index: index == "a")
    assert list(again.positions) == [0, 2]
    assert (made.expired, made.outstanding) == (1, 1)
    assert batch.index_is_there(again, lambda _: False) == []
    assert (made.expired, made.outstanding) == (3, 0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.integers(1, 12))
def test_every_document_is_counted_once_whatever_comes(message: MakeMessage, data: st.DataObject, count: int) -> None:
    made, requests = begun(message, count)
    for _ in range(40):
        if not requests:
            break
        request = requests.pop(0)
        kind = data.draw(st.sampled_from(["lost", "all", "split", "refused", "items", "cut"]))
        if kind == "lost":
            requests += follow_ups(batch.unanswered(request, "cut"))
        elif kind == "cut":
            requests += batch.cut(request, data.draw(st.integers(1, 50)))
        elif kind == "items":
            verdicts = [data.draw(st.sampled_from(Verdict)) for _ in request.positions]
            follows = batch.answered(request, [Outcome(v) for v in verdicts])
            requests += follow_ups(follows)
        else:
            answer = {"all": None, "split": Whole("x", split=True), "refused": Whole("x", split=False)}[kind]
            requests += follow_ups(batch.answered(request, answer))
        assert made.outstanding == len(requests)
    while requests:
        batch.answered(request := requests.pop(), [DONE] * len(request.positions))
    assert made.outstanding == 0
    assert made.indexed + made.duplicates + len(made.letters) == count


@pytest.mark.parametrize(("attempts", "low", "high"), [(1, 0.1, 0.2), (3, 0.4, 0.8), (30, 2.5, 5.0), (10**9, 2.5, 5.0)])
def test_backoff_doubles_up_to_a_limit(attempts: int, low: float, high: float) -> None:
    assert backoff.delay_s(attempts, None, 0.0) == pytest.approx(low)
    assert backoff.delay_s(attempts, None, 1.0) == pytest.approx(high)


def test_the_server_s_own_wish_is_the_least() -> None:
    assert backoff.delay_s(1, 7.0, 0.5) == 7.0
