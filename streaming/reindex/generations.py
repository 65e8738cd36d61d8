"""A day's log index and its later generations: NAME is the first, or an alias of NAME-rN, the one in force.

Everything that reads, writes, rolls or deletes asks for NAME. A generation that is being filled is hidden, so that
no pattern finds its documents beside those of the one in force.
"""

from __future__ import annotations

import re
from urllib.parse import quote

import msgspec

from streaming import decoding
from streaming.elastic import finished, mapping
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.elastic.finished import Mark

_GENERATION = re.compile(r"(?P<name>.+)-r(?P<number>[1-9]\d*)\Z")
_GONE = "index_not_found_exception"


class _Index(msgspec.Struct):
    aliases: dict[str, msgspec.Raw] = {}


def fresh_name(name: str, existing: set[str]) -> str:
    """`NAME-rN` with the lowest N above all generations that exist."""
    numbers = [int(m["number"]) for found in existing if (m := _GENERATION.match(found)) and m["name"] == name]
    return f"{name}-r{max(numbers, default=0) + 1}"


def unfinished(found: dict[str, set[str]]) -> list[str]:
    """Of indices and their aliases, generations that no alias leads to: left by a reindexing that ended early."""
    generations = {index: m["name"] for index in found if (m := _GENERATION.match(index))}
    return sorted(index for index, name in generations.items() if name not in found[index])


class Generations:
    """Asks and changes them. Every method may raise Unavailable (no answer, or busy) or Refused."""

    def __init__(self, connection: Connection, index_prefix: str) -> None:
        self._connection, self._pattern = connection, mapping.logs_pattern(index_prefix)

    def found(self) -> dict[str, set[str]]:
        """Every log index, the hidden ones too, with its aliases."""
        path = f"/{_path(self._pattern)}/_alias?expand_wildcards=all"
        body = checked(self._connection.request("GET", path), f"reading the aliases of {self._pattern}").body
        return {name: set(index.aliases) for name, index in decoding.decode(body, dict[str, _Index]).items()}

    def in_force(self, name: str) -> str | None:
        """The index behind NAME; None if there is none."""
        found = self.found()
        if name in found:
            return name
        return next((index for index, aliases in found.items() if name in aliases), None)

    def begin(self, name: str) -> str:
        """Makes the next generation of NAME, hidden and empty, and returns its name."""
        fresh = fresh_name(name, set(self.found()))
        # No replica and no refresh while it fills; both come with `take_over`.
        body = {"settings": {"index.hidden": True, "index.refresh_interval": "-1"}}
        checked(self._connection.json("PUT", f"/{_path(fresh)}", body), f"making index {fresh}")
        return fresh

    def abandon(self, index: str) -> None:
        """Deletes a generation that was not put in force."""
        response = self._connection.request("DELETE", f"/{_path(index)}")
        if response.error_type != _GONE:
            checked(response, f"deleting index {index}")

    def refresh(self, index: str) -> None:
        """Makes all that was written visible to a search."""
        checked(self._connection.request("POST", f"/{_path(index)}/_refresh"), f"refreshing {index}")

    def block(self, index: str) -> None:
        """Takes no more writes (they answer 403, on which the indexer waits); returns when those under way are done."""
        finished.block(self._connection, index)

    def unblock(self, index: str) -> None:
        """Takes writes again."""
        finished.unblock(self._connection, index)

    def claim(self, index: str) -> None:
        """Makes a block of roll, if there is one, ours: a late record must not open the index while it is copied."""
        if finished.marks(self._connection, index).get(index, Mark()).finished_ms:
            finished.write_mark(self._connection, index, Mark(merged=True))

    def take_over(self, name: str, fresh: str) -> None:
        """Puts a generation in force: the index before it goes and NAME leads to it, in one step for all readers."""
        settings = {"index.refresh_interval": None}
        checked(self._connection.json("PUT", f"/{_path(fresh)}/_settings", settings), f"opening {fresh}")
        self.refresh(fresh)
        before = self.in_force(name)
        actions: list[dict[str, dict[str, object]]] = [{"remove_index": {"index": before}}] if before else []
        actions.append({"add": {"index": fresh, "alias": name, "is_write_index": True}})
        checked(self._connection.json("POST", "/_aliases", {"actions": actions}), f"putting {fresh} in force")
        checked(self._connection.json("PUT", f"/{_path(fresh)}/_settings", {"index.hidden": None}), f"showing {fresh}")


def _path(name: str) -> str:
    return quote(name, safe="*")
