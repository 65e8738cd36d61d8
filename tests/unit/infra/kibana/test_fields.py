"""Fields as Kibana sees them, read off Vigil's own mappings."""

from __future__ import annotations

import pytest
from vigil_airflow.task_logs.store import KIND as TASK_LOG_KIND

from infra.kibana.fields import Field, Fields, Kind, find
from infra.kibana.indices import TASK_LOGS, indices
from streaming.events.fields import DEAD_LETTER_FIELDS, FIELDS


def field(fields: Fields, name: str) -> Field:
    found = find(fields, name)
    assert found is not None, name
    return found


def test_every_declared_field_is_known() -> None:
    found = indices("vigil")
    assert found.logs.fields.keys() == FIELDS.keys()
    assert found.dead_letters.fields.keys() == DEAD_LETTER_FIELDS.keys()


@pytest.mark.parametrize(
    ("name", "kind", "searchable", "aggregatable"),
    [
        ("@timestamp", Kind.DATE, True, True),
        ("log.level", Kind.STRING, True, True),
        ("message", Kind.STRING, True, False),
        ("event.duration", Kind.NUMBER, True, True),
        ("event.original", Kind.STRING, False, False),
        ("labels", Kind.UNKNOWN, True, False),
        ("labels.team", Kind.UNKNOWN, True, False),
    ],
)
def test_what_can_be_done_with_a_field(name: str, kind: Kind, searchable: bool, aggregatable: bool) -> None:
    found = field(indices("vigil").logs.fields, name)
    assert (found.kind, found.searchable, found.aggregatable) == (kind, searchable, aggregatable)


def test_what_is_no_field() -> None:
    fields = indices("vigil").logs.fields
    assert [find(fields, name) for name in ("nothing", "message.keyword", "log", "labelsx.y")] == [None] * 4


def test_patterns_follow_the_prefix() -> None:
    assert set(indices("vigil-t1").by_pattern()) == {
        "vigil-t1-logs-*",
        "vigil-t1-dead-letters-*",
        "vigil-t1-audits-*",
        "vigil-t1-incident-context",
        "vigil-t1-reports",
        "vigil-t1-airflow-logs-*",
        "vigil-t1-incident-events-*",
        "vigil-t1-incidents-*",
        "vigil-t1-node-status-*",
        "vigil-t1-nodes",
    }


def test_task_logs_are_as_the_plugin_writes_them() -> None:
    def types(properties: object) -> dict[str, object]:
        assert isinstance(properties, dict)
        return {name: declared["type"] for name, declared in properties.items()}

    assert types(TASK_LOGS) == types(TASK_LOG_KIND.properties)
    assert indices("vigil").task_logs.pattern == TASK_LOG_KIND.index("vigil", "*")
