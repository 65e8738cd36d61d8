"""Values of Fluentd's configuration, as Fluentd reads them: sizes, times, booleans, names, paths, lists.

Source: Fluentd's documentation, "Configuration Parameter Types", and its `config/types.rb`: where Fluentd searches
for something that it can take and drops the rest, the value is refused here.
Every reader raises ValueError with the reason.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable
from typing import TypeVar

from streaming.accumulator.configuration.pattern import Pattern
from streaming.accumulator.configuration.ruby_regexp import compile_ruby

Word = TypeVar("Word", bound=str)

_SIZE_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_TIME_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_MEANT_UNITS = {"ms": 0.001, **_TIME_UNITS}

LOG_LEVELS = ("trace", "debug", "info", "warn", "error", "fatal")


def size(text: str) -> int:
    """`768k` in bytes, at least 1; units k, m, g, t, of 1,024."""
    found = re.fullmatch(r"([0-9]{1,15})([kmgtKMGT]?)", text)
    if not found:
        raise ValueError(f"{text!r} is no size (a whole number, then k, m, g or t)")
    if int(found[1]) == 0:
        raise ValueError("a size of 0 would let nothing pass")
    return int(found[1]) * _SIZE_UNITS[found[2].lower()]


def seconds(text: str) -> float:
    """`5m` in seconds: a whole number with a unit, or any number of seconds without one.

    Fluentd takes the whole number that stands before the first unit it finds: `0.2s` is 2 s to it, `200ms` is
    200 minutes and `1h30m` is 30 minutes. These are refused, with what was meant.
    """
    found = re.fullmatch(r"([0-9]{1,15})([smhd]?)|[0-9]{1,15}\.[0-9]+", text)
    if found:
        return float(int(found[1]) * _TIME_UNITS[found[2]]) if found[1] else float(text)
    if re.fullmatch(r"(?:[0-9]{1,15}(?:\.[0-9]+)?(?:ms|[smhd]))+", text):
        meant = sum(float(n) * _MEANT_UNITS[u] for n, u in re.findall(r"([0-9.]+)(ms|[smhd])", text))
        unit = next(u for u in "smhd" if re.search(f"[0-9]{u}", text))
        read = int(re.findall(f"([0-9]+){unit}", text)[0]) * _TIME_UNITS[unit]
        raise ValueError(f"Fluentd reads {text!r} as {read} s; write {_plain(meant)}")
    raise ValueError(f"{text!r} is no time (a whole number, then s, m, h or d; or seconds, as 0.2)")


def _plain(number: float) -> str:
    return f"{number:.6f}".rstrip("0").rstrip(".")


def number(text: str) -> float:
    """A number that is not negative; Fluentd's type float, which knows no units."""
    if not re.fullmatch(r"[0-9]{1,15}(?:\.[0-9]+)?", text):
        raise ValueError(f"{text!r} is no number (as 0.5, without a unit)")
    return float(text)


def wait(text: str) -> float:
    """A time that is not 0: what is tried again at once is tried without an end."""
    found = seconds(text)
    if not found:
        raise ValueError("0 would mean no pause at all")
    return found


def share(text: str) -> float:
    """Above 0 and below 1."""
    found = number(text)
    if not 0 < found < 1:
        raise ValueError(f"{text!r} is no part of 1 (as 0.8)")
    return found


def backoff_base(text: str) -> float:
    """From 1: waits that become shorter are none."""
    found = number(text)
    if found < 1:
        raise ValueError(f"{text!r} is below 1, so that waits would become shorter")
    return found


def boolean(text: str) -> bool:
    """true or yes, false or no; a name alone is true."""
    if text in ("true", "yes", ""):
        return True
    if text in ("false", "no"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def count(text: str) -> int:
    """A whole number that is not negative."""
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise ValueError(f"{text!r} is no whole number from 0")
    return int(text)


def port(text: str) -> int:
    """1 to 65535."""
    found = count(text)
    if not 1 <= found <= 65535:
        raise ValueError(f"{found} is no port (1 to 65535)")
    return found


def text(value: str) -> str:
    """Any text but none at all."""
    if not value:
        raise ValueError("empty")
    return value


def one_of(*words: Word) -> Callable[[str], Word]:
    """One of these words."""

    def read(value: str) -> Word:
        for word in words:
            if value == word:
                return word
        close = difflib.get_close_matches(value, words, n=1)
        raise ValueError(f"{value!r} is not supported; {f'did you mean {close[0]}?' if close else ' or '.join(words)}")

    return read


log_level = one_of(*LOG_LEVELS)


def array(value: str) -> tuple[str, ...]:
    """`a, b` or `["a", "b"]`: at least one text, none empty."""
    parts: object = json.loads(value) if value.startswith("[") else [part.strip() for part in value.split(",")]
    texts = tuple(part for part in parts if isinstance(part, str) and part) if isinstance(parts, list) else ()
    if not isinstance(parts, list) or len(texts) != len(parts) or not texts:
        raise ValueError(f'{value!r} is no list of texts (a, b or ["a", "b"])')
    for part in texts:
        part.encode("utf-8", "surrogateescape")  # a lone surrogate, which JSON can say, is no text
    return texts


def hash_of_texts(value: str) -> dict[str, str]:
    """`a:b, c:d:e` or `{"a": "b", "c": "d:e"}`: at least one, all texts."""
    if value.startswith("{"):
        found: object = json.loads(value)
    else:
        found = dict(part.strip().partition(":")[::2] for part in value.split(","))
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{value!r} is no hash (a:b, c:d)")
    texts = {str(name): text for name, text in found.items() if name and isinstance(text, str) and text}
    if len(texts) != len(found):
        raise ValueError(f"{value!r} is no hash of texts (a:b, c:d)")
    return texts


def brokers(value: str) -> str:
    """`host:port`, several parted by commas."""
    found = array(value)
    for broker in found:
        if not re.fullmatch(r"[A-Za-z0-9._-]+:[0-9]{1,5}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}", broker):
            raise ValueError(f"{broker!r} is no host:port")
    return ",".join(found)


def topic(value: str) -> str:
    """A topic's name, as Kafka allows it.

    A placeholder (`${tag}`) needs chunk keys, by which Fluentd parts its buffers; here there are none.
    """
    if "${" in value or "%" in value:
        raise ValueError(f"placeholders need chunk keys, which are not supported: {value!r}; write the topic's name")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", value) or value in (".", ".."):
        raise ValueError(f"{value!r} is no name of a topic in Kafka (letters, digits, . _ -; at most 249)")
    return value


def folder(value: str) -> str:
    """A folder's path without placeholders."""
    if "${" in value or "%" in value:
        raise ValueError(f"placeholders are not supported in {value!r}")
    return text(value)


def tail_paths(value: str) -> tuple[str, ...]:
    """Files to follow, parted by commas (Fluentd's `path` of in_tail is no array); see `tail_path`."""
    if value.startswith("["):
        raise ValueError("is a text, not an array; part paths by commas")
    return tuple(tail_path(part.strip()) for part in value.split(","))


def excluded_paths(value: str) -> tuple[str, ...]:
    """Files not to follow, an array; see `tail_path`."""
    return tuple(tail_path(part) for part in array(value))


def tail_path(path: str) -> str:
    """A file's path, or with `*` a pattern, in which `?` and `[..]` are special too.

    Fluentd formats a path as a time (`%Y`) and expands `**`, `{}` and `[^..]`: refused.
    """
    if "%" in path:
        raise ValueError(f"times in a path (%Y) are not supported: {path!r}; write * for what changes")
    for wrong in ("**", "{", "}", "\\", "[^", "\0"):
        if wrong in path:
            raise ValueError(f"{wrong!r} is not supported in {path!r}; *, ? and [..] are")
    return text(path)


def tail_tag(value: str) -> str:
    """A tag; one `*` in it stands for the path with dots."""
    if value.count("*") > 1:
        raise ValueError(f"more than one * in {value!r}")
    return text(value)


def regexp(value: str) -> re.Pattern[str]:
    """`/pattern/im` or a bare pattern, in Ruby's syntax as far as Python's has the same.

    `^` and `$` are those of lines, as in Ruby; flag `m` lets `.` match line ends. Fluentd reads no other flags.
    """
    if not value.startswith("/"):
        return compile_ruby(text(value))
    found = re.fullmatch(r"/(.*)/([im]{0,2})", value, re.DOTALL)
    if not found:
        raise ValueError(f"{value!r} is not /pattern/, then i or m at most")
    return compile_ruby(found[1], ignore_case="i" in found[2], dot_matches_all="m" in found[2])


def pattern(value: str) -> Pattern:
    """As `regexp`, ready to search texts that strangers write."""
    return Pattern(regexp(value))


def key_path(value: str) -> tuple[str, ...]:
    """`name`, `$.a.b` or `$['a']['b']`: the keys that lead to a value in a record."""
    if not value.startswith("$"):
        return (text(value),)
    if re.fullmatch(r"\$(?:\.[^.\[\]\s]+)+", value):
        return tuple(value[2:].split("."))
    if re.fullmatch(r"\$(?:\[(?:'[^']+'|\"[^\"]+\")\])+", value):
        return tuple(a or b for a, b in re.findall(r"\['([^']+)'\]|\[\"([^\"]+)\"\]", value))
    raise ValueError(f"{value!r} is no key; name, $.a.b or $['a']['b']")
