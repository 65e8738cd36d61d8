"""Kibana's query language, as much of it as Vigil's objects use: read, asked for its fields, and turned into the query
that Kibana would send to Elasticsearch. Pure.

Not read: nested fields (`field : { ... }`) and wildcards in names of fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from infra.kibana.fields import Fields, Kind, find
from streaming.elastic.mapping import Object
from streaming.errors import VigilError
from streaming.events.model import Json


class KqlError(VigilError):
    """A query that cannot be read; the text names the character where, and why."""

    def __init__(self, query: str, at: int, reason: str) -> None:
        super().__init__(f"KQL {query!r}, character {at + 1}: {reason}")


@dataclass(frozen=True)
class Everything:
    """The empty query."""


@dataclass(frozen=True)
class Is:
    """`field : value`; `field` None: any field. A quoted value is a phrase, and its asterisks are asterisks."""

    field: str | None
    value: str
    quoted: bool


@dataclass(frozen=True)
class Exists:
    """`field : *`."""

    field: str


@dataclass(frozen=True)
class Compared:
    """`field >= value`; `op` as Elasticsearch names it."""

    field: str
    op: str
    value: str


@dataclass(frozen=True)
class Not:
    """`not ...`."""

    inner: Node


@dataclass(frozen=True)
class Together:
    """`... and ...`, or where `every` is False `... or ...`."""

    every: bool
    parts: tuple[Node, ...]


Node = Everything | Is | Exists | Compared | Not | Together

_OPS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>>=|<=|[:<>(){}])|"(?P<phrase>(?:\\.|[^"\\])*)"|(?P<word>(?:\\.|[^\s:<>(){}"\\])+))""",
    re.DOTALL,
)
_KEYWORDS = ("and", "or", "not")


@dataclass(frozen=True)
class _Token:
    at: int
    text: str
    kind: str

    def is_word(self, text: str) -> bool:
        return self.kind == "word" and self.text.lower() == text

    def is_mark(self, text: str) -> bool:
        return self.kind == "mark" and self.text == text


def parse(query: str) -> Node:
    """Reads a query.

    Raises:
        KqlError: it is none, or uses what is not read here.
    """
    reader = _Reader(query)
    if reader.token.kind == "end":
        return Everything()
    found = reader.either()
    if reader.token.kind != "end":
        raise reader.error(f"{reader.token.text!r} is not expected")
    return found


def fields_in(node: Node) -> Iterator[str]:
    """Names of the fields that are asked for, each as often as it is."""
    match node:
        case Is(field=str() as name) | Exists(field=name) | Compared(field=name):
            yield name
        case Not(inner):
            yield from fields_in(inner)
        case Together(parts=parts):
            for part in parts:
                yield from fields_in(part)


def to_elastic(node: Node, fields: Fields) -> Object:
    """The query that Kibana makes of it."""
    match node:
        case Everything():
            return {"match_all": {}}
        case Exists(name):
            return {"exists": {"field": name}}
        case Compared(name, op, value):
            return {"range": {name: {op: value}}}
        case Not(inner):
            return {"bool": {"must_not": to_elastic(inner, fields)}}
        case Together(every, parts):
            clauses = cast(Json, [to_elastic(part, fields) for part in parts])
            return {"bool": {"filter": clauses} if every else {"should": clauses, "minimum_should_match": 1}}
        case Is(name, value, quoted):
            if name is None:
                kind = "phrase" if quoted else "best_fields"
                return {"multi_match": {"type": kind, "query": value, "lenient": True}}
            return _is(name, value, quoted, fields)


def _is(name: str, value: str, quoted: bool, fields: Fields) -> Object:
    if "*" in value and not quoted:
        return {"query_string": {"fields": [name], "query": value}}
    field = find(fields, name)
    if field is not None and field.kind is Kind.DATE:
        return {"range": {name: {"gte": value, "lte": value}}}
    return {"match_phrase" if quoted else "match": {name: value}}


class _Reader:
    """One token of look-ahead over a query."""

    def __init__(self, query: str) -> None:
        self._query, self._at = query, 0
        self.token = self._next()

    def error(self, reason: str) -> KqlError:
        return KqlError(self._query, self.token.at, reason)

    def _next(self) -> _Token:
        if not self._query[self._at :].strip():
            return _Token(len(self._query), "", "end")
        found = _TOKEN.match(self._query, self._at)
        if found is None:
            raise KqlError(self._query, self._at, "a quote that is not closed, or a stray backslash")
        self._at = found.end()
        kind = found.lastgroup or ""
        text = found[kind]
        return _Token(found.start(kind), text if kind == "mark" else re.sub(r"\\(.)", r"\1", text), kind)

    def take(self) -> _Token:
        taken, self.token = self.token, self._next()
        return taken

    def either(self, field: str | None = None) -> Node:
        return self._joined("or", field)

    def _joined(self, word: str, field: str | None) -> Node:
        parts = [self._part(word, field)]
        while self.token.is_word(word):
            self.take()
            parts.append(self._part(word, field))
        return parts[0] if len(parts) == 1 else Together(word == "and", tuple(parts))

    def _part(self, word: str, field: str | None) -> Node:
        # `and` binds more closely than `or`.
        return self._joined("and", field) if word == "or" else self._one(field)

    def _one(self, field: str | None) -> Node:
        if self.token.is_word("not"):
            self.take()
            return Not(self._one(field))
        if self.token.is_mark("("):
            self.take()
            found = self.either(field)
            if not self.token.is_mark(")"):
                raise self.error("a bracket that is not closed")
            self.take()
            return found
        return self._value(field) if field is not None else self._leaf()

    def _leaf(self) -> Node:
        name = self._literal("a field or a value")
        if self.token.is_mark(":"):
            self.take()
            if self.token.is_mark("{"):
                raise self.error("nested fields are not read here")
            return self._one(name.text)
        if self.token.kind == "mark" and self.token.text in _OPS:
            op = _OPS[self.take().text]
            return Compared(name.text, op, self._literal("a value").text)
        return Is(None, name.text, name.kind == "phrase")

    def _value(self, field: str) -> Node:
        value = self._literal("a value")
        if value.kind == "word" and value.text == "*":
            return Exists(field)
        return Is(field, value.text, value.kind == "phrase")

    def _literal(self, wanted: str) -> _Token:
        if self.token.kind not in ("word", "phrase") or any(self.token.is_word(word) for word in _KEYWORDS):
            raise self.error(f"{wanted} is missing")
        return self.take()
