"""Rule sets and logs at random, from few words, so that they meet often.

Made from a seed and a number: hypothesis draws these two, and shrinks the number. Drawn value by value the same takes
fifty times as long.
"""

from __future__ import annotations

import json
from random import Random

from hypothesis import strategies as st

from streaming.alerting.rules.conditions import TextCondition
from streaming.alerting.rules.ruleset import RuleSet
from streaming.events.model import Json, Level, LogEvent

WORDS = ("", "a", "ab", "b", "a\nb", "abc b", "ä", "B", "7", "a.b", "ERROR", "GET", "x" * 300)
HOSTILE = (*WORDS, "\ud800?", "\0", 'a"b\\', "a\rb", "<@U1>")
PATTERNS = (
    *("^a", "b$", "(?i)AB", r"\ba\b", "a.*b", "[^a]", "a*", r"\Aab", r"b\z", "(?s)a.b", "^$", "ä|b"),
    *(r"(?-s:a.b)", r"\Qa\E"),
)
FIELDS = (
    *("service.name", "service.node.name", "host.name", "message", "log.level", "log.logger", "error.code"),
    *("error.message", "event.id", "trace.id", "http.request.method", "http.response.status_code", "url.path"),
)
LABELS = ("labels.zone", "labels.logger", "labels.timestamp")
KINDS = ("match", "match", "match", "threshold", "spike", "error-ratio", "absence", "new-value", "new-template")
KEYS = ("equals", "prefix", "contains", "matches", "not_equals", "not_prefix", "not_contains", "not_matches")
LEVELS = list(Level)
seeds = st.integers(0, 2**32)


def condition(random: Random) -> dict[str, list[str]]:
    """What one field must hold."""
    keys = random.sample(KEYS, random.choice((1, 1, 2)))
    return {key: random.sample(PATTERNS if key.endswith("matches") else WORDS, random.choice((1, 2))) for key in keys}


def where(random: Random, fields: tuple[str, ...], *, selective: bool) -> dict[str, object]:
    """Which logs a rule is about."""
    names = random.sample(fields, random.choice((1, 1, 2) if selective else (0, 0, 1)))
    levels = random.sample(LEVELS, random.choice((0, 1, 3)))
    return {"levels": levels, "fields": {name: condition(random) for name in names}}


def rule(random: Random, number: int) -> dict[str, object]:
    """One rule that looks at logs, of any kind."""
    kind = random.choice(KINDS)
    fields = FIELDS + LABELS if random.random() < 0.1 else FIELDS
    made: dict[str, object] = {
        "id": f"r{number}",
        "kind": kind,
        "severity": "info",
        "title": "t",
        "where": where(random, fields, selective=kind == "match"),
        "group_by": random.sample(fields, random.choice((1, 2) if kind == "absence" else (0, 1, 2))),
        "max_groups": random.choice((1, 3, 1000, 1000)),
    }
    if kind in ("threshold", "spike", "error-ratio", "absence"):
        made["window"] = random.choice((10, 600))
    if kind == "match" and random.random() < 0.5:
        made["resolve_when"] = where(random, fields, selective=True)
    if kind == "error-ratio":
        made["errors"] = where(random, fields, selective=False)
    own: dict[str, dict[str, object]] = {
        "threshold": {"count": 2},
        "spike": {"baseline": 3600},
        "error-ratio": {"ratio": 0.5},
        "new-value": {"field": random.choice(fields)},
    }
    return made | own.get(kind, {})


def _rule_set(seed: int, count: int) -> RuleSet:
    random = Random(seed)
    return RuleSet.model_validate({"rules": [rule(random, number) for number in range(count)]})


def rule_sets() -> st.SearchStrategy[RuleSet]:
    """Up to twenty rules together."""
    return st.builds(_rule_set, seeds, st.integers(1, 20))


def _conditions(seed: int, count: int) -> list[TextCondition]:
    random = Random(seed)
    return [TextCondition.model_validate(condition(random)) for _ in range(count)]


def conditions() -> st.SearchStrategy[list[TextCondition]]:
    """Conditions on texts."""
    return st.builds(_conditions, seeds, st.integers(1, 30))


def texts() -> st.SearchStrategy[list[str]]:
    """Texts to search."""
    return st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=6)), min_size=1, max_size=10)


def _event(random: Random) -> LogEvent:
    def maybe() -> str | None:
        return random.choice((None, *HOSTILE))

    return LogEvent(
        timestamp_ns=random.randrange(4 * 10**18),
        level=random.choice(LEVELS),
        message=random.choice(HOSTILE),
        service=random.choice(HOSTILE),
        node_id=random.choice(HOSTILE),
        log_id=maybe(),
        host=maybe(),
        logger=maybe(),
        error_code=maybe(),
        error_message=maybe(),
        trace_id=maybe(),
        http_method=maybe(),
        http_status=random.choice((None, 7, 200)),
        http_path=maybe(),
        labels={name: random.choice((None, "a", 7)) for name in ("zone", "logger") if random.random() < 0.3},
    )


def _events(seed: int, count: int) -> list[LogEvent]:
    random = Random(seed)
    return [_event(random) for _ in range(count)]


def events() -> st.SearchStrategy[list[LogEvent]]:
    """Logs as events."""
    return st.builds(_events, seeds, st.integers(1, 10))


TIMES = (
    *("2026-11-24T06:40:00Z", "2026-11-24T06:40:00.123456Z", "2026-11-24 06:40:00,5Z", "2026-11-24T06:40:01"),
    *("2026-11-24T08:40:00.1+02:00", "2026-11-24T06:40:00.12+00:00", "2005-01-01T00:00:00.25Z", "2099-01-01T00:00:00Z"),
    *("2026-11-24T06:40:00.1234567891Z", "2026-11-24T06:40:00.١٢Z", "2016-12-31T23:59:60.25Z", "2026-02-30T06:40:00Z"),
    *("2026-11-24T06:40:00.Z", "2026-11-24T06:40:00.+12Z", "Nov 24 06:40:00", "1795502400", "yesterday", ""),
)
OTHERS = (
    b"",
    b"2026-11-24 06:40:00,5 ERROR a.b: ab",
    b'{"level":"error","msg":"ab","time":"2026-11-24T06:40:00Z","zone":"a"}',
    b'{"@timestamp":"2026-11-24T06:40:00Z","log":{"level":"ERROR"},"message":"a","service":{"name":"a"}}',
    b'{"message_type":"LOG","message":"a"}',
    b'{"message_type":"HEARTBEAT","node_id":"a","status":"UP"}',
    b"\xff\xfe\x00",
    b"{",
)
"""Records of other dialects."""

_ALWAYS = ("node_id", "log_level", "message_type", "message", "service_name", "timestamp")
_SOMETIMES = (
    *("log_id", "response_time_ms", "threshold_limit_ms", "logger", "error_details", "trace_id", "start_time"),
    *("http_method", "http_status", "http_path", "span_id"),
)


def _usual(random: Random, key: str) -> Json:
    match key:
        case "log_level":
            return random.choice(LEVELS).value
        case "message_type":
            return "LOG"
        case "timestamp" | "start_time":
            return random.choice(TIMES)
        case "response_time_ms" | "threshold_limit_ms":
            return random.choice((0, 5, 812.5, -1, 1e300))
        case "error_details":
            names = random.sample(("error_code", "error_message", "stack"), random.randrange(4))
            details: dict[str, Json] = {name: random.choice((None, *HOSTILE)) for name in names}
            return details
        case "http_status":
            return random.choice((7, 200, 2**63 - 1, 2**63))
        case _:
            return random.choice(HOSTILE)


def _unusual(random: Random) -> Json:
    given: list[Json] = [None, 7, 1.5, True, "a", [], ["a"], {"a": "b"}, '{"level": "ERROR", "message": "a"}']
    return random.choice(given)


def _value(random: Random) -> bytes:
    if random.random() < 0.1:
        return random.choice(OTHERS)
    names = [*_ALWAYS, *random.sample(_SOMETIMES, random.choice((0, 1, 3)))]
    random.shuffle(names)
    members = [(name, _usual(random, name)) for name in names]
    if random.random() < 0.2:
        members.append((random.choice((*names, "zone", "level", "labels", "logLevel")), _unusual(random)))
    if random.random() < 0.2:
        place = random.randrange(len(members))
        members[place] = (members[place][0], _unusual(random))
    if random.random() < 0.1:
        members.pop(random.randrange(len(members)))
    ascii_only = random.random() < 0.5
    text = ",".join(f"{json.dumps(key)}:{json.dumps(value, ensure_ascii=ascii_only)}" for key, value in members)
    if random.random() < 0.03:
        text = text.replace("message_type", "message\\u005ftype")
    return ("{" + text + "}").encode("utf-8", "surrogatepass")


def _values(seed: int, count: int) -> list[bytes]:
    random = Random(seed)
    return [_value(random) for _ in range(count)]


def values() -> st.SearchStrategy[list[bytes]]:
    """Records as they lie in Kafka: of the canonical schema, or nearly, or of another dialect, or no JSON at all."""
    return st.builds(_values, seeds, st.integers(1, 20))
