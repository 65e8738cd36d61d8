"""Every dead letter becomes one document on a real server, and none keeps the next from it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from streaming.dead_letters import document
from streaming.elastic import mapping
from streaming.elastic.ensure import ensure_templates
from streaming.elastic.finished import Mark, finish
from streaming.events.ecs import date_text
from streaming.kafka.topics import DEAD_LETTERS
from tests.integration.streaming.dead_letters.conftest import RECEIVED_NS

if TYPE_CHECKING:
    from tests.integration.streaming.dead_letters.conftest import Command, Morgue


def test_each_letter_is_one_document_also_when_it_is_written_twice(morgue: Morgue) -> None:
    large = b"{" + b"\1" * 2_000_000
    for value, sequence, reason in [(b"\xff\0", 1, "not-utf8"), (large, 2, "too-large"), (b"\xff\0", 1, "not-utf8")]:
        morgue.put(value, sequence, reason)
    morgue.index()
    second, first = morgue.documents()
    assert base64.b64decode(first["dead_letter"]["base64"]) == b"\xff\0"
    assert [d["vigil"]["kafka"]["offset"] for d in (second, first)] == [1, 2], "the last place of each"
    assert (second["dead_letter"]["size"], second["dead_letter"]["cut"]) == (len(large), True)
    assert second["event"]["original"] == large[: document.ORIGINAL_BYTES].decode()
    morgue.index()  # once more from the committed offset: nothing is left
    assert len(morgue.documents()) == 2


def test_what_elasticsearch_refuses_goes_bare_and_what_it_refuses_bare_goes_by(morgue: Morgue) -> None:
    """An index that somebody made by hand with other types refuses whole letters, or all of them."""
    morgue.put(b"a", 1)
    today = _index_of_today(morgue)
    ensure_templates(morgue.settings)
    wrong = {"mappings": {"properties": {"dead_letter": {"properties": {"detail": {"type": "long"}}}}}}
    assert morgue.elastic.json("PUT", f"/{today}", wrong).status == 200
    morgue.index()
    (bare,) = morgue.documents()
    assert (bare["vigil"]["source"], "detail" in bare["dead_letter"]) == ("acc.inc:1:0", False)

    assert morgue.elastic.request("DELETE", f"/{today}").status == 200
    wrong = {"mappings": {"properties": {"dead_letter": {"properties": {"reason": {"type": "long"}}}}}}
    assert morgue.elastic.json("PUT", f"/{today}", wrong).status == 200
    morgue.put(b"b", 2)
    morgue.put(b"c", 3, reason="404")  # the wrong type takes this one
    morgue.index()
    assert [d["vigil"]["source"] for d in morgue.documents()] == ["acc.inc:3:0"]


def test_letters_wait_for_elasticsearch(morgue: Morgue) -> None:
    morgue.put(b"a", 1)
    away = morgue.settings.model_copy(update={"elasticsearch_url": "http://127.0.0.1:1"})
    morgue.index_until(away, lambda indexer: "dead letters wait" in str(indexer.health.answer()))
    morgue.index()
    assert len(morgue.documents()) == 1


def test_a_finished_index_opens_for_letters_that_come_late_and_while_they_are_replayed(
    morgue: Morgue, command: Command
) -> None:
    morgue.put(b"a", 1)
    morgue.index()
    finish(morgue.elastic, _index_of_today(morgue), Mark(finished_ms=1))
    morgue.put(b"a", 1)  # its document is to say where it lies now
    morgue.put(b"b", 2)
    morgue.index()
    assert [d["vigil"]["kafka"]["offset"] for d in morgue.documents()] == [1, 2]
    finish(morgue.elastic, _index_of_today(morgue), Mark(finished_ms=1))
    command("replay", "--json", "--yes")
    assert all("replayed_at" in document["vigil"] for document in morgue.documents())


def test_a_letter_that_was_put_back_elsewhere_is_found_there(morgue: Morgue, command: Command) -> None:
    morgue.put(b"filler", 1)
    morgue.put(b"\xff the original", 2)
    morgue.index()
    morgue.put(b"\xff the original", 2)  # as a restore does; the day of the append says nothing
    morgue.index()
    admin = AdminClient({"bootstrap.servers": morgue.settings.bootstrap})
    for gone in admin.delete_records([TopicPartition(morgue.settings.topic(DEAD_LETTERS), 0, 2)]).values():
        gone.result(20)
    morgue.elastic.request("POST", f"/{morgue.pattern}/_refresh")
    told, _ = command("replay", "--json", "--yes")
    assert (json.loads(told)["replayed"], json.loads(told)["gone"]) == (1, 1)
    assert [record.value() for record in morgue.logs()] == [b"\xff the original"]
    assert len(morgue.documents()) == 2


def _index_of_today(morgue: Morgue) -> str:
    day = date_text(RECEIVED_NS)[:10].replace("-", ".")
    return mapping.dead_letters_pattern(morgue.settings.index_prefix).replace("*", day)
