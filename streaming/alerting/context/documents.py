"""The whole context of an incident, kept in Elasticsearch: one document for each incident."""

from __future__ import annotations

from dataclasses import asdict

import msgspec

from streaming.alerting.context.model import Context
from streaming.alerting.context.rendering import whole_text
from streaming.alerting.receivers.facts import iso
from streaming.elastic.documents import DocumentKind, Documents
from streaming.elastic.mapping import Object
from streaming.settings import Settings

KIND = DocumentKind(
    "incident-context",
    {
        "@timestamp": {"type": "date"},
        "incident": {
            "properties": {
                "incident_id": {"type": "keyword"},
                "rule_id": {"type": "keyword"},
                "severity": {"type": "keyword"},
            }
        },
        "text": {"type": "text"},
    },
)


def document_of(context: Context) -> Object:
    """All of it as a JSON object: what was found, and the text that shows it."""
    plain = {
        "logs": asdict(context.logs),
        "trace": asdict(context.trace),
        "deeds": asdict(context.deeds),
        "nodes": asdict(context.nodes),
        "related": asdict(context.related),
    }
    made: Object = msgspec.to_builtins(
        {
            "@timestamp": iso(context.gathered_ms),
            "incident": context.incident,
            "text": whole_text(context),
            **plain,
        }
    )
    return made


def keep(settings: Settings, context: Context) -> str:
    """Writes the document, in place of an older one of the incident; returns its id.

    Raises:
        Unavailable, Refused: Elasticsearch does not answer, or will not take it.
    """
    with Documents(settings, KIND) as documents:
        documents.put(context.incident.incident_id, document_of(context))
    return context.incident.incident_id
