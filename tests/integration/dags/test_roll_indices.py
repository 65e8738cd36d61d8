"""`roll_indices` on a real Elasticsearch: what is due is done, what is too much is refused, and a broken server is
something that the next run makes up for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from streaming.elastic.connection import Connection
from streaming.indexer.identity import index_name
from streaming.rolling.actions import Action
from streaming.rolling.executing import Executor
from streaming.settings import Settings
from tests.integration.dags.conftest import RunDag


@pytest.fixture
def day(settings: Settings) -> Callable[[int], str]:
    """`day(1)`: the name of yesterday's index. Today is the test's: the run may have begun yesterday."""
    today = int(time.time()) // 86_400
    return lambda ago: index_name(settings.index_prefix, today - ago)


@pytest.fixture
def elastic(settings: Settings, meant_up: None, day: Callable[[int], str]) -> Iterator[Connection]:
    """With an index in segments of a day that is over for long enough to be merged, and one past its retention."""
    found = Connection(settings.elastic)
    for ago in (2, 32):
        name = day(ago)
        assert found.json("PUT", f"/{name}", {}).status == 200
        for _ in range(2):
            assert found.json("POST", f"/{name}/_doc?refresh=true", {"message": "x"}).status == 201
    yield found
    found.close()


def there(elastic: Connection, name: str) -> bool:
    return elastic.request("GET", f"/{name}").status == 200


def test_what_is_due_is_done_also_where_the_server_went_away_in_the_midst_of_it(
    run_dag: RunDag, day: Callable[[int], str], elastic: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Breaks(Executor):
        """Elasticsearch goes away behind the first action."""

        def _do(self, action: Action) -> None:
            super()._do(action)
            self._elastic.close()
            self._elastic = Connection("http://127.0.0.1:1")

    dry = run_dag("roll_indices", {"dry_run": True})
    assert dry.returned["roll_indices"] == {"actions": 0, "would_do": 5, "warnings": []}
    assert there(elastic, day(32))
    assert not there(elastic, day(-1))
    with monkeypatch.context() as broken:
        broken.setattr("streaming.rolling.run.Executor", Breaks)
        assert run_dag("roll_indices").tasks["roll_indices"] == "failed"
    assert not there(elastic, day(32))
    assert not there(elastic, day(-1))
    assert run_dag("roll_indices").returned["roll_indices"]["actions"] == 4
    assert [there(elastic, day(ago)) for ago in (32, 2, 0, -1, -2)] == [False, True, True, True, True]


def test_too_much_is_refused_with_a_reason_and_passes_when_it_is_allowed(
    run_dag: RunDag, day: Callable[[int], str], elastic: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    older = day(33)
    assert elastic.json("PUT", f"/{older}", {}).status == 200
    ran = run_dag("roll_indices")
    assert ran.tasks["roll_indices"] == "failed"
    said = capsys.readouterr()
    assert "refused to delete 2 indices" in said.out + said.err
    assert there(elastic, day(33))
    assert there(elastic, day(-2)), "all else is done"
    assert run_dag("roll_indices", {"allow_deleting": 1.0}).state == "success"
    assert not there(elastic, day(33))
