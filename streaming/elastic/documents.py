"""Documents that Vigil writes about itself, audits and reports: few, found by their id, written again as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import cast
from urllib.parse import quote

import msgspec

from streaming import decoding
from streaming.elastic.connection import Connection
from streaming.elastic.ensure import checked
from streaming.elastic.mapping import PRIORITY, Object
from streaming.settings import Settings

ANSWER_WITHIN_S = 20.0


@dataclass(frozen=True)
class DocumentKind:
    """What kind of documents: `name` is the middle of their index's name, `properties` the mapping of the fields by
    which they are searched. Whatever else a document holds is kept and is no field (`dynamic` false)."""

    name: str
    properties: Object

    def index(self, index_prefix: str, part: str = "") -> str:
        """`vigil-NAME`, or `vigil-NAME-PART` where they are parted, say by month, so that old ones can be deleted."""
        return f"{index_prefix}-{self.name}" + (f"-{part}" if part else "")

    def template(self, index_prefix: str) -> Object:
        """The index template of all parts."""
        return {
            "index_patterns": cast(Object, [self.index(index_prefix), self.index(index_prefix, "*")]),
            "priority": PRIORITY,
            "template": {
                "settings": {
                    "index": {"number_of_shards": "1", "number_of_replicas": "0", "auto_expand_replicas": "0-1"}
                },
                "mappings": {"dynamic": "false", "properties": self.properties},
            },
            "_meta": {"managed_by": "vigil"},
        }


class Documents:
    """The documents of a kind. A context manager; for one thread. A document is searchable when `put` returns.

    Raises (every method): Unavailable, where Elasticsearch does not answer; Refused, where it will not.
    """

    def __init__(self, settings: Settings, kind: DocumentKind) -> None:
        self._kind, self._prefix = kind, settings.index_prefix
        self._connection = Connection(settings.elastic, ANSWER_WITHIN_S)
        self._there: set[str] = set()

    def __enter__(self) -> Documents:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._connection.close()

    def put(self, document_id: str, document: object, part: str = "") -> None:
        """Writes it, in place of the one of this id and part that may be there. `document` is anything that msgspec
        encodes as a JSON object."""
        index = self._kind.index(self._prefix, part)
        self._ensure(index)
        path = f"/{index}/_doc/{quote(document_id, safe='')}?refresh=true"
        checked(self._connection.json("PUT", path, document), f"writing document {document_id}")

    def _ensure(self, index: str) -> None:
        """The template, then the index: Vigil's indices are never made by a document that comes for them."""
        if index in self._there:
            return
        name = self._kind.index(self._prefix)
        template = self._kind.template(self._prefix)
        checked(self._connection.json("PUT", f"/_index_template/{name}", template), f"writing template {name}")
        made = self._connection.json("PUT", f"/{index}")
        if made.error_type != "resource_already_exists_exception":
            checked(made, f"making index {index}")
        self._there.add(index)

    def get(self, document_id: str, part: str = "") -> bytes | None:
        """JSON of the document; None where there is none."""
        path = f"/{self._kind.index(self._prefix, part)}/_doc/{quote(document_id, safe='')}"
        answer = self._connection.request("GET", path)
        if answer.status == 404:
            return None
        found = decoding.decode(checked(answer, f"reading document {document_id}").body, _Document)
        return bytes(found.source)

    def search(self, body: Object) -> list[bytes]:
        """JSON of the documents of all parts that a search finds, in its order; none where nothing was ever written."""
        names = f"{self._kind.index(self._prefix)},{self._kind.index(self._prefix, '*')}"
        path = f"/{quote(names, safe=',*')}/_search?ignore_unavailable=true"
        answer = checked(self._connection.json("POST", path, body), f"searching {names}")
        return [bytes(hit.source) for hit in decoding.decode(answer.body, _Found).hits.hits]


class _Document(msgspec.Struct):
    source: msgspec.Raw = msgspec.field(name="_source")


class _Hits(msgspec.Struct):
    hits: list[_Document]


class _Found(msgspec.Struct):
    hits: _Hits
