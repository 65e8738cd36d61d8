"""The few expressions of Ruby that stand in a configuration's `"#{..}"`.

Source: Fluentd's documentation, "Config File Syntax: embedding Ruby expressions". Understood are, joined by `||`:
`ENV['NAME']`, `ENV.fetch('NAME')`, `ENV.fetch('NAME', 'default')`, `hostname` or `Socket.gethostname`, `worker_id`
(which is 0 here), `use_default`, a text in quotes without escapes, a whole number.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping

_TEXT = r"""'[^'\\\n]*'|"[^"\\#\n]*\""""
_TERM = re.compile(
    rf"""\s*(?:
        ENV\[\s*(?P<variable>{_TEXT})\s*\]
      | ENV\.fetch\(\s*(?P<fetched>{_TEXT})\s*(?:,\s*(?P<otherwise>{_TEXT}|[0-9]+)\s*)?\)
      | (?P<word>hostname|Socket\.gethostname|worker_id|use_default|use_nil)\b
      | (?P<text>{_TEXT}|[0-9]+)
    )\s*""",
    re.VERBOSE,
)
_KNOWN = "ENV['NAME'], ENV.fetch('NAME', 'default'), hostname, worker_id, use_default and || 'default' are understood"


def evaluate(source: str, at: int, environment: Mapping[str, str]) -> tuple[str | None, int]:
    """The value of the expression that begins at `at`, and where the text goes on behind its `}`.

    None: `use_default`, so the parameter counts as not given. A variable that is not set is an empty text, as in
    Fluentd.

    Raises:
        ValueError: an expression that is not understood.
    """
    start = at
    value: str | None = ""
    decided = False
    while True:
        term = _TERM.match(source, at)
        if term is None:
            raise ValueError(f"Ruby code that is not understood here: {_shown(source, start)}; {_KNOWN}")
        if not decided:
            found, value = _term(term, environment)
            decided = found
        at = term.end()
        if source.startswith("}", at):
            return value, at + 1
        if not source.startswith("||", at):
            raise ValueError(f"Ruby code that is not understood here: {_shown(source, start)}; {_KNOWN}")
        at += 2


def _term(term: re.Match[str], environment: Mapping[str, str]) -> tuple[bool, str | None]:
    """Whether it has a value (what stands behind `||` is not looked at then), and which."""
    if name := term["variable"]:
        value = environment.get(name[1:-1])
        return value is not None, value or ""
    if name := term["fetched"]:
        value = environment.get(name[1:-1], _unquoted(term["otherwise"]) if term["otherwise"] else None)
        if value is None:
            raise ValueError(f"the variable {name[1:-1]} is not set")
        return True, value
    if term["text"]:
        return True, _unquoted(term["text"])
    return True, _word(term["word"], environment)


def _word(word: str, environment: Mapping[str, str]) -> str | None:
    if word == "use_default":
        return None
    if word == "use_nil":
        raise ValueError("use_nil is not supported; use_default is")
    if word == "worker_id":
        return environment.get("SERVERENGINE_WORKER_ID", "0")
    return socket.gethostname()


def _unquoted(text: str) -> str:
    return text if text[0].isdigit() else text[1:-1]


def _shown(source: str, at: int) -> str:
    return "#{" + source[at:].split("\n", 1)[0][:40]
