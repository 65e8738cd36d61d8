"""Does what was planned, an action at a time. Each may be done twice, and what is done already is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

from streaming.elastic.connection import Connection, Response
from streaming.elastic.ensure import Refused, checked, ensure_templates
from streaming.elastic.finished import Mark, finish, marks, write_mark
from streaming.errors import Unavailable
from streaming.retention.versions import declare
from streaming.rolling.actions import (
    Action,
    DeclareClasses,
    DeleteIndex,
    FinishIndex,
    MakeIndex,
    MergeIndex,
    RepairTemplates,
    SnapshotIndex,
)
from streaming.settings import Settings

LONGEST_S = 3_600.0
"""Of one request: a merge of 30 GB reads and writes all of it. One that takes longer goes on in Elasticsearch, and the
next roll finds it done, or waits for it."""

_THERE = "resource_already_exists_exception"
_GONE = "index_not_found_exception"
_TAKEN = ("invalid_snapshot_name_exception", "snapshot_name_already_in_use_exception")


@dataclass(frozen=True)
class Done:
    """An action and what became of it; `failed` is why it was not done."""

    action: Action
    failed: str = ""


class Executor:
    """Carries out actions. What one is refused does not keep the others from being done."""

    def __init__(self, settings: Settings, say: Callable[[str], None] = lambda _line: None) -> None:
        self._settings, self._say = settings, say
        self._elastic = Connection(settings.elastic, LONGEST_S)

    def close(self) -> None:
        """Disconnects."""
        self._elastic.close()

    def run(self, actions: tuple[Action, ...]) -> Iterator[Done]:
        """Does them in their order, and tells of each when it is done.

        Raises:
            Unavailable: Elasticsearch or Kafka does not answer; what was done until then is done, and a new plan holds
                the rest.
        """
        for action in actions:
            self._say(str(action))
            try:
                self._do(action)
            except Refused as error:
                yield Done(action, str(error))
            else:
                yield Done(action)

    def _do(self, action: Action) -> None:
        match action:
            case DeclareClasses():
                declare(self._settings, action.version)
            case RepairTemplates():
                ensure_templates(self._settings, self._elastic)
            case MakeIndex():
                body = {"settings": {"index.number_of_shards": action.shards}}
                self._unless(_THERE, self._elastic.json("PUT", _path(action.name), body), f"making {action.name}")
            case DeleteIndex():
                self._unless(_GONE, self._elastic.request("DELETE", _path(action.index)), f"deleting {action.index}")
            case MergeIndex():
                self._merge(action.index)
            case FinishIndex():
                merged = self._mark(action.index).merged
                finish(self._elastic, action.index, Mark(merged=merged, finished_ms=action.at_ms))
            case SnapshotIndex():
                self._snapshot(action)

    def _merge(self, index: str) -> None:
        """Flushed as well, so that the segments before it are gone from the disk."""
        path = f"{_path(index)}/_forcemerge?max_num_segments=1&flush=true"
        response = self._elastic.request("POST", path)
        if response.error_type == _GONE:
            return
        checked(response, f"merging {index}")
        mark = self._mark(index)
        write_mark(self._elastic, index, Mark(True, mark.finished_ms, mark.writable_until_ms))

    def _snapshot(self, action: SnapshotIndex) -> None:
        path = f"/_snapshot/{quote(self._settings.snapshot_repository)}/{quote(action.snapshot)}"
        body = {"indices": action.index, "include_global_state": False}
        response = self._elastic.json("PUT", f"{path}?wait_for_completion=true", body)
        if (
            response.error_type not in _TAKEN
            and b'"state":"SUCCESS"' not in checked(response, "taking a snapshot").body
        ):
            # Its name must be free for the next attempt.
            self._elastic.request("DELETE", path)
            raise Refused(f"snapshot {action.snapshot} is not whole: {response.body[:300].decode('utf-8', 'replace')}")

    def _mark(self, index: str) -> Mark:
        return marks(self._elastic, index).get(index, Mark())

    @staticmethod
    def _unless(error_type: str, response: Response, doing: str) -> None:
        if response.error_type != error_type:
            checked(response, doing)


def _path(index: str) -> str:
    if not index or set(index) & set("*,/"):
        raise Unavailable(f"{index!r} is not the name of one index")  # a pattern would delete more than was meant
    return f"/{quote(index)}"
