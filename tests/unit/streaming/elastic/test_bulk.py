"""Decisions about the items of a bulk answer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.elastic import bulk
from streaming.elastic.bulk import Verdict, Whole
from streaming.elastic.connection import Response


@pytest.mark.parametrize(
    ("status", "error_type", "reason", "verdict"),
    [
        (201, "", "", Verdict.DONE),
        (200, "", "", Verdict.DONE),
        (409, "version_conflict_engine_exception", "[a]: version conflict", Verdict.DUPLICATE),
        (404, "index_not_found_exception", "no such index", Verdict.NO_INDEX),
        (400, "document_parsing_exception", "failed to parse field", Verdict.DEAD_LETTER),
        (400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded", Verdict.DEAD_LETTER),
        (400, "validation_exception", "this cluster currently has [1000]/[1000] maximum shards open", Verdict.RETRY),
        (429, "es_rejected_execution_exception", "rejected", Verdict.RETRY),
        (429, "circuit_breaking_exception", "[parent] Data too large", Verdict.RETRY),
        (403, "cluster_block_exception", "index [x] blocked by: [FORBIDDEN/8/index write (api)]", Verdict.BLOCKED),
        (403, "cluster_block_exception", "blocked by: [FORBIDDEN/12/index read-only / allow delete", Verdict.RETRY),
        (403, "security_exception", "action [indices:data/write/bulk] is unauthorized", Verdict.RETRY),
        (503, "unavailable_shards_exception", "primary shard is not active", Verdict.RETRY),
        (500, "null_pointer_exception", "", Verdict.RETRY),
        (413, "", "", Verdict.DEAD_LETTER),
    ],
)
def test_verdicts(status: int, error_type: str, reason: str, verdict: Verdict) -> None:
    assert bulk.decide(status, error_type, reason, attempts=1).verdict is verdict


def test_an_unexplained_error_is_not_retried_for_ever() -> None:
    assert bulk.decide(500, "x", "", bulk.UNEXPLAINED_LIMIT).verdict is Verdict.DEAD_LETTER
    assert bulk.decide(503, "x", "", bulk.UNEXPLAINED_LIMIT * 100).verdict is Verdict.RETRY


def answer(*items: dict[str, object], status: int = 200) -> Response:
    body = {"errors": any("error" in item for item in items), "items": [{"create": item} for item in items]}
    return Response(status, json.dumps(body, separators=(",", ":")).encode(), None)


def test_outcomes_keep_the_order_of_the_items() -> None:
    bad = {"status": 400, "error": {"type": "document_parsing_exception", "reason": "no"}}
    outcomes = bulk.read_answer(answer({"status": 201}, bad, {"status": 201}), 3, 1)
    assert isinstance(outcomes, list)
    assert [o.verdict for o in outcomes] == [Verdict.DONE, Verdict.DEAD_LETTER, Verdict.DONE]
    assert outcomes[1].reason == "document_parsing_exception"


def test_all_made_is_told_without_a_list() -> None:
    assert bulk.read_answer(answer({"status": 201}, {"status": 201}), 2, 1) is None


def test_an_answer_of_the_wrong_length_decides_nothing() -> None:
    bad = {"status": 429, "error": {"type": "x", "reason": None}}
    assert isinstance(bulk.read_answer(answer(bad), 2, 1), Whole)


@pytest.mark.parametrize(("status", "split"), [(413, True), (400, True), (429, False), (503, False), (401, False)])
def test_refused_as_a_whole(status: int, split: bool) -> None:
    refused = bulk.read_answer(Response(status, b'{"error":{"type":"t","reason":"r"},"status":1}', 3.0), 5, 1)
    assert refused == Whole("t: r", split, 3.0)


def test_a_proxy_s_answer_is_shown_as_it_is() -> None:
    refused = bulk.read_answer(Response(502, b"<html>Bad Gateway", None), 5, 1)
    assert refused == Whole("HTTP 502: <html>Bad Gateway", split=False)


@given(st.binary(max_size=200), st.sampled_from([200, 400, 429, 500]))
def test_no_answer_raises(body: bytes, status: int) -> None:
    bulk.read_answer(Response(status, body, None), 2, 1)


def test_an_item_is_two_lines_of_json() -> None:
    made = bulk.item(bulk.create_line("vigil-logs-default-2026.11.24"), b"abc", b'{"message":"x"}')
    assert bulk.index_of(made) == "vigil-logs-default-2026.11.24"
    head, document, rest = made.split(b"\n")
    assert json.loads(head) == {"create": {"_index": "vigil-logs-default-2026.11.24", "_id": "abc"}}
    assert json.loads(document) == {"message": "x"}
    assert rest == b""


@given(st.lists(st.integers(1, 50), max_size=40))
def test_chunks_are_a_partition_within_the_limit(sizes: list[int]) -> None:
    parts = list(bulk.chunks(sizes, limit=40))
    assert [n for part in parts for n in sizes[part]] == sizes
    for part in parts:
        assert sum(sizes[part]) <= 40 or part.stop - part.start == 1
