"""The query language of `vigil search`: a pure parser, and the Elasticsearch query that it means.

    level:ERROR service:payment "connection refused" -node:payment-3 status>=500 since:1h

Terms are separated by spaces and all must hold; `vigil search --help` (cli/search.py) shows the whole of it.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from streaming.errors import VigilError
from streaming.events.fields import FIELDS, MAX_LONG
from streaming.events.model import Json, Level

ALIASES = {
    "level": "log.level",
    "logger": "log.logger",
    "service": "service.name",
    "node": "service.node.name",
    "node_id": "service.node.name",
    "host": "host.name",
    "trace": "trace.id",
    "span": "span.id",
    "log_id": "vigil.log_id",
    "error": "error.message",
    "code": "error.code",
    "status": "http.response.status_code",
    "method": "http.request.method",
    "path": "url.path",
    "duration": "event.duration",
    "pid": "process.pid",
    "thread": "process.thread.name",
    "accumulator": "vigil.accumulator",
    "source": "vigil.source",
    "dialect": "vigil.dialect",
    "fingerprint": "vigil.fingerprint",
    "parent": "vigil.parent_span_id",
    "received": "event.created",
    "time": "@timestamp",
}

TEXT_FIELDS: tuple[str, ...] = ("message", "error.message", "error.stack_trace")

MAX_TERMS = 200
"""Elasticsearch refuses queries of over 1,024 clauses or deeper; a person writes ten."""

Object = dict[str, Json]


class QueryError(VigilError):
    """A query that cannot be read; says where and how to write it."""

    exit_code = 64  # EX_USAGE of sysexits.h

    def __init__(self, reason: str, at: int, remedy: str = "") -> None:
        self.at = at
        super().__init__(f"query, character {at + 1}: {reason}" + (f". {remedy}" if remedy else ""))


class Op(StrEnum):
    """How a term compares."""

    WORDS = "words"
    PHRASE = "phrase"
    BEGINS = "begins"
    ONE_OF = "one-of"
    EXISTS = "exists"
    GT = "gt"
    GTE = "gte"
    LT = "lt"
    LTE = "lte"


@dataclass(frozen=True)
class Term:
    """One condition. `field` None: any of `TEXT_FIELDS`."""

    op: Op
    field: str | None
    values: tuple[str | int, ...]
    negated: bool = False


@dataclass(frozen=True)
class Query:
    """What is searched for; times in milliseconds since the epoch, `since_ms` inclusive, `until_ms` exclusive."""

    terms: tuple[Term, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass
class _Token:
    at: int
    negated: bool = False
    name: str = ""
    comparison: str = ""
    value: str = ""
    quoted: bool = False


def parse_query(text: str, now_ms: int) -> Query:
    """Reads a query. The empty one means everything.

    Raises:
        QueryError: it cannot be read, or asks for what a field cannot do.
    """
    query, terms = Query(), []
    for token in _tokens(text):
        if token.name == "since" and not token.negated:
            query = replace(query, since_ms=parse_time(token.value, now_ms, token.at))
        elif token.name == "until" and not token.negated:
            query = replace(query, until_ms=parse_time(token.value, now_ms, token.at))
        else:
            terms.append(_term(token, now_ms))
    if len(terms) > MAX_TERMS:
        raise QueryError(f"more than {MAX_TERMS} terms", 0)
    return replace(query, terms=tuple(terms))


def one_of(name: str, values: list[str]) -> Term:
    """The term `name:a,b`, for options of the command line; the values are taken literally.

    Raises:
        QueryError: not values of that field.
    """
    target = _field(name, 0)
    return Term(Op.ONE_OF, target, tuple(_value(target, value, 0, 0) for value in values))


_AGO = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d|w)")
_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


def parse_time(text: str, now_ms: int, at: int = 0) -> int:
    """`2h` (ago), `now`, or an ISO 8601 date or time (UTC where it names no zone), as milliseconds since the epoch.

    Raises:
        QueryError: it is none of these.
    """
    if text == "now":
        return now_ms
    if ago := _AGO.fullmatch(text):
        return max(0, now_ms - int(float(ago[1]) * _MS[ago[2]]))
    try:
        when = datetime.fromisoformat(text)
        return max(0, int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000))
    except (ValueError, OverflowError):
        raise QueryError(
            f"{text!r} is not a time", at, "Write 30s, 15m, 2h, 7d (ago), now, 2026-11-24 or 2026-11-24T12:00Z"
        ) from None


_NAME = re.compile(r"[A-Za-z_@][A-Za-z0-9_.@-]*")
_COMPARISON = re.compile(r":?(>=|<=|>|<)|:")
_WORD = re.compile(r'[^\s"]+')


def _tokens(text: str) -> list[_Token]:
    tokens, at = [], 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        token = _Token(at)
        if text[at] == "-" and at + 1 < len(text) and not text[at + 1].isspace():
            token.negated = True
            at += 1
        name = _NAME.match(text, at)
        comparison = _COMPARISON.match(text, name.end()) if name else None
        if name and comparison:
            token.name, token.comparison, at = name[0], comparison[1] or ":", comparison.end()
        at = _read_value(text, at, token)
        tokens.append(token)
    return tokens


def _read_value(text: str, at: int, token: _Token) -> int:
    if at < len(text) and text[at] == '"':
        end, piece = at + 1, []
        while end < len(text) and text[end] != '"':
            if text[end] == "\\" and end + 1 < len(text):
                end += 1
            piece.append(text[end])
            end += 1
        if end >= len(text):
            raise QueryError("a quote that is not closed", at, 'Add a " at its end')
        token.value, token.quoted = "".join(piece), True
        return end + 1
    word = _WORD.match(text, at)
    token.value = word[0] if word else ""
    return word.end() if word else at


def quote(value: str) -> str:
    """The value so that a query takes it literally."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _term(token: _Token, now_ms: int) -> Term:
    if not token.name:
        return _text_term(token, None)
    target = _field(token.name, token.at)
    if token.comparison != ":":
        return _comparison(token, target, now_ms)
    if not token.value and not token.quoted:
        raise QueryError(f"{token.name}: has no value", token.at, f"Write {token.name}:VALUE, or quote it to mean text")
    if not token.quoted and token.value == "*":
        return Term(Op.EXISTS, target, (), token.negated)
    if FIELDS.get(target) == "text":
        return _text_term(token, target)
    if not token.quoted and token.value.endswith("*"):
        return _prefix(token, target)
    texts = [token.value] if token.quoted else [part for part in token.value.split(",") if part]
    if not texts:
        raise QueryError(f"{token.name}: has no value", token.at)
    return Term(Op.ONE_OF, target, tuple(_value(target, t, token.at, now_ms) for t in texts), token.negated)


def _text_term(token: _Token, target: str | None) -> Term:
    if token.quoted:
        return Term(Op.PHRASE, target, (token.value,), token.negated)
    if token.value in ("AND", "OR", "NOT"):
        raise QueryError(
            f"{token.value} is not a word of this language",
            token.at,
            "Terms stand side by side and all must hold; field:a,b is one of two, -term is not; quote it to mean text",
        )
    if token.value.endswith("*") and len(token.value) > 1:
        return Term(Op.BEGINS, target, (token.value.rstrip("*"),), token.negated)
    return Term(Op.WORDS, target, (token.value,), token.negated)


def _prefix(token: _Token, target: str) -> Term:
    if _kind(target) not in ("keyword", "flattened"):
        raise QueryError(f"{token.name} is no text, so nothing begins with it", token.at)
    text = token.value.rstrip("*")
    return Term(Op.BEGINS, target, (text.upper() if target == "log.level" else text,), token.negated)


def _comparison(token: _Token, target: str, now_ms: int) -> Term:
    if target == "log.level":
        return _levels(token)
    kind = _kind(target)
    if kind not in ("long", "date_nanos"):
        raise QueryError(f"{token.name} is not a number", token.at, f"Write {token.name}:VALUE")
    op = {">": Op.GT, ">=": Op.GTE, "<": Op.LT, "<=": Op.LTE}[token.comparison]
    return Term(op, target, (_value(target, token.value, token.at, now_ms),), token.negated)


def _levels(token: _Token) -> Term:
    bound = _level(token.value, token.at).rank
    held = {
        ">": [level for level in Level if level.rank > bound],
        ">=": [level for level in Level if level.rank >= bound],
        "<": [level for level in Level if level.rank < bound],
        "<=": [level for level in Level if level.rank <= bound],
    }[token.comparison]
    return Term(Op.ONE_OF, "log.level", tuple(level.value for level in held), token.negated)


def _field(name: str, at: int) -> str:
    if name in FIELDS and FIELDS[name] not in ("flattened", "unindexed"):
        return name
    if name in ALIASES:
        return ALIASES[name]
    if name.startswith("labels.") and len(name) > len("labels."):
        return name
    close = difflib.get_close_matches(name, [*ALIASES, *FIELDS], n=1)
    guess = f"Did you mean {close[0]}? " if close else ""
    raise QueryError(f"no field {name}", at, f'{guess}Quote it to search for text: "{name}:..."')


def _kind(target: str) -> str:
    return FIELDS.get(target, "flattened")


def _value(target: str, text: str, at: int, now_ms: int) -> str | int:
    if target == "log.level":
        return _level(text, at).value
    kind = _kind(target)
    if kind == "date_nanos":
        return parse_time(text, now_ms, at)
    if kind != "long":
        return text
    if target in ("event.duration", "vigil.threshold") and (duration := _AGO.fullmatch(text)):
        return min(MAX_LONG, int(float(duration[1]) * _MS[duration[2]] * 1_000_000))
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise QueryError(f"{text!r} is not a whole number", at)
    return int(text)


def _level(text: str, at: int) -> Level:
    try:
        return Level(text.upper())
    except ValueError:
        raise QueryError(f"no level {text!r}", at, f"Levels are {', '.join(Level)}") from None


def to_elastic(query: Query, *, time_field: str = "@timestamp") -> Object:
    """The query clause that means it; all in filter context, since nothing is ranked."""
    must: list[Json] = []
    must_not: list[Json] = []
    for term in query.terms:
        (must_not if term.negated else must).append(_clause(term))
    bounds: Object = {}
    if query.since_ms is not None:
        bounds["gte"] = query.since_ms
    if query.until_ms is not None:
        bounds["lt"] = query.until_ms
    if bounds:
        must.append({"range": {time_field: bounds | {"format": "epoch_millis"}}})
    if not must and not must_not:
        return {"match_all": {}}
    return {"bool": {"filter": must, "must_not": must_not}}


def _clause(term: Term) -> Object:
    if term.op in (Op.WORDS, Op.PHRASE) or (term.op is Op.BEGINS and term.field in (None, *TEXT_FIELDS)):
        fields: list[Json] = [*TEXT_FIELDS] if term.field is None else [term.field]
        how: Object = {
            Op.WORDS: {"operator": "and"},
            Op.PHRASE: {"type": "phrase"},
            Op.BEGINS: {"type": "phrase_prefix"},
        }[term.op]  # type: ignore[assignment]
        return {"multi_match": {"query": term.values[0], "fields": fields, **how}}
    target = term.field or ""
    match term.op:
        case Op.EXISTS:
            return {"exists": {"field": target}}
        case Op.BEGINS:
            return {"prefix": {target: {"value": term.values[0]}}}
        case Op.ONE_OF if _kind(target) == "date_nanos":
            return {"range": {target: {"gte": term.values[0], "lte": term.values[0], "format": "epoch_millis"}}}
        case Op.ONE_OF:
            return {"terms": {target: list(term.values)}}
        case _:
            bound: Object = {term.op.value: term.values[0]}
            return {"range": {target: bound | ({"format": "epoch_millis"} if _kind(target) == "date_nanos" else {})}}
