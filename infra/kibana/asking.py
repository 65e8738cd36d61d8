"""Asks a running Elasticsearch everything that Kibana will ask it for these objects."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import quote

import msgspec

from infra.kibana.checking.problems import Problem, problem
from infra.kibana.questions import Question
from streaming import decoding
from streaming.elastic.connection import Connection, Response


class _Reason(msgspec.Struct):
    type: str = ""
    reason: str | None = ""


class _Failure(msgspec.Struct):
    reason: _Reason


class _Shards(msgspec.Struct):
    failures: list[_Failure] = []


class _Total(msgspec.Struct):
    value: int


class _Hits(msgspec.Struct):
    total: _Total | None = None


class _Answer(msgspec.Struct):
    shards: _Shards = msgspec.field(name="_shards", default_factory=_Shards)
    hits: _Hits = msgspec.field(default_factory=_Hits)


class _Causes(msgspec.Struct):
    root_cause: list[_Reason] = []


class _Refusal(msgspec.Struct):
    error: _Causes


class Answered(msgspec.Struct):
    """What came of a question: how many documents, or why there is no answer."""

    question: Question
    documents: int = 0
    problem: Problem | None = None


def answers(connection: Connection, asked: Iterable[Question]) -> list[Answered]:
    """Asks each question; indices that are not there yet have no documents.

    Raises:
        Unavailable: Elasticsearch does not answer.
    """
    return [_answer(connection, question) for question in asked]


def _answer(connection: Connection, question: Question) -> Answered:
    path = f"/{quote(question.pattern, safe='*')}/_search?ignore_unavailable=true"
    response = connection.json("POST", path, question.body)
    if response.status >= 400:
        return Answered(question, problem=problem(question.about, f"Elasticsearch refuses: {_why(response)}"))
    answer = decoding.decode(response.body, _Answer)
    # A field that one index has and another has not fails in the shards of that one alone.
    for failure in answer.shards.failures:
        reason = f"{failure.reason.type}: {failure.reason.reason}"
        return Answered(question, problem=problem(question.about, f"Elasticsearch fails in part: {reason}"))
    return Answered(question, documents=answer.hits.total.value if answer.hits.total else 0)


def _why(response: Response) -> str:
    """The first shard's reason; that of the whole says only that all of them failed."""
    try:
        causes = decoding.decode(response.body, _Refusal).error.root_cause
    except msgspec.DecodeError:
        causes = []
    return f"{causes[0].type}: {causes[0].reason}" if causes else response.error()
