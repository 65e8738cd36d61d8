"""`upgrade_index_templates` on a real Elasticsearch."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.elastic.mapping import PRIORITY, logs_pattern, template_name
from streaming.settings import Settings
from tests.integration.dags.conftest import RunDag


@pytest.fixture
def elasticsearch(settings: Settings) -> Iterator[Connection]:
    connection = Connection(settings.elastic)
    yield connection
    connection.close()


@pytest.mark.usefixtures("meant_up")
def test_what_differs_is_set_back_and_again_is_harmless(
    run_dag: RunDag, settings: Settings, elasticsearch: Connection
) -> None:
    path = f"/_index_template/{template_name(settings.index_prefix)}"

    def there() -> object:
        answer = checked(elasticsearch.request("GET", path), "reading")
        return msgspec.json.decode(answer.body)["index_templates"][0]["index_template"]["template"]

    before = there()
    old = {
        "index_patterns": [logs_pattern(settings.index_prefix)],
        "priority": PRIORITY,
        "template": {"mappings": {"dynamic": "true"}},
    }
    checked(elasticsearch.json("PUT", path, old), "writing an old one")
    assert there() != before
    for _ in range(2):
        assert run_dag("upgrade_index_templates").state == "success"
        assert there() == before


def test_a_platform_that_was_never_deployed_is_left_alone(run_dag: RunDag) -> None:
    ran = run_dag("upgrade_index_templates")
    assert ran.state == "failed"
    assert ran.tasks == {"platform_is_up": "failed", "install_index_templates": "upstream_failed"}
