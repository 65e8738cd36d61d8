"""Documents that Vigil writes about itself, on a real Elasticsearch."""

from __future__ import annotations

import msgspec
import pytest

from streaming.elastic.connection import Connection
from streaming.elastic.documents import DocumentKind, Documents
from streaming.errors import Unavailable
from streaming.settings import Settings

AUDITS = DocumentKind("trials", {"at": {"type": "date"}, "kind": {"type": "keyword"}})


def test_what_is_put_is_found_by_its_id_and_by_its_fields(settings: Settings) -> None:
    with Documents(settings, AUDITS) as documents:
        assert documents.get("a/1") is None
        assert documents.search({"query": {"match_all": {}}}) == []
        documents.put("a/1", {"kind": "one", "at": 1, "more": {"any": "thing"}}, "2026.11")
        documents.put("a/1", {"kind": "one", "at": 2, "more": {"any": 5}}, "2026.11")
        documents.put("a/2", {"kind": "two", "at": 3}, "2026.12")
        assert msgspec.json.decode(documents.get("a/1", "2026.11") or b"") == {
            "kind": "one",
            "at": 2,
            "more": {"any": 5},
        }
        assert documents.get("a/1", "2026.12") is None
        found = documents.search({"query": {"term": {"kind": "two"}}, "sort": [{"at": "desc"}]})
        assert [msgspec.json.decode(one)["at"] for one in found] == [3]
    connection = Connection(settings.elastic)
    mapping = connection.request("GET", f"/{AUDITS.index(settings.index_prefix, '2026.11')}/_mapping").body
    connection.close()
    assert b"more" not in mapping


def test_an_elasticsearch_that_is_away_is_named(settings: Settings) -> None:
    away = settings.model_copy(update={"elasticsearch_url": "http://127.0.0.1:1"})
    with Documents(away, AUDITS) as documents, pytest.raises(Unavailable, match="does not answer"):
        documents.put("a", {})
