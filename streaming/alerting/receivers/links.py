"""Where a message's links lead: the logs of an incident, in Vigil's UI and in Kibana."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from streaming.alerting.messages import Incident

MARGIN_MS = 5 * 60 * 1000
"""The logs are shown from this long before the first event of an incident until this long after the last."""

WIDEST_MS = 24 * 60 * 60 * 1000
"""At most so much before the last event: a range of weeks is slow to search, and shows little that still matters."""

VALUE_LIMIT = 200
"""Characters of a value within an address. Slack takes 3,000 for a whole section."""


@dataclass(frozen=True)
class Links:
    """Base addresses, without a slash at the end; empty: no link there. `data_view` is the id of Kibana's data view of
    logs; empty: its default one."""

    ui: str = ""
    kibana: str = ""
    data_view: str = ""

    def logs(self, incident: Incident) -> str:
        """Vigil's UI, at the logs of its trace, else of its service."""
        if not self.ui:
            return ""
        begin, end = _range(incident)
        query = {"from": begin, "to": end} | {name: value for name, _, value in _about(incident)}
        return f"{self.ui}/logs?{urlencode(query, quote_via=quote, safe='', errors='replace')}"

    def discover(self, incident: Incident) -> str:
        """Kibana's Discover, at the same logs. Where the data view is not there, Discover takes its default one."""
        if not self.kibana:
            return ""
        begin, end = _range(incident)
        wanted = " and ".join(f"{field} : {_kql(value)}" for _, field, value in _about(incident))
        time = f"(time:(from:{_rison(begin)},to:{_rison(end)}))"
        view = f"dataSource:(dataViewId:{_rison(self.data_view)},type:dataView)," if self.data_view else ""
        state = f"({view}query:(language:kuery,query:{_rison(wanted)}))"
        return f"{self.kibana}/app/discover#/?_g={_quoted(time)}&_a={_quoted(state)}"

    def incident(self, incident_id: str) -> str:
        """Vigil's UI, at the incident."""
        return f"{self.ui}/incidents/{_quoted(incident_id)}" if self.ui else ""

    def pages(self, incident: Incident) -> list[tuple[str, str]]:
        """Texts and addresses of all the pages that there are of an incident, but the run book's."""
        found = [
            ("Incident", self.incident(incident.incident_id)),
            ("Logs", self.logs(incident)),
            ("Kibana", self.discover(incident)),
        ]
        return [(text, address) for text, address in found if address]

    def incidents(self) -> str:
        """Vigil's UI, at the list of all that are open."""
        return f"{self.ui}/incidents?state=open" if self.ui else ""


def _about(incident: Incident) -> list[tuple[str, str, str]]:
    """What finds its logs: name in the UI's address, field of the documents, value."""
    sample = incident.sample
    if sample.trace_id:
        return [("trace", "trace.id", sample.trace_id[:VALUE_LIMIT])]
    found = [("service", "service.name", sample.service), ("node", "service.node.name", sample.node_id)]
    return [(name, field, value[:VALUE_LIMIT]) for name, field, value in found if value]


def _range(incident: Incident) -> tuple[str, str]:
    """From and to, by the events' own times, which may be any: log text can say 1601 or 9999."""
    begin = max(incident.first_ms, incident.last_ms - WIDEST_MS) - MARGIN_MS
    return _iso(begin), _iso(incident.last_ms + MARGIN_MS)


def _iso(at_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    except (ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00.000Z" if at_ms < 0 else "9999-12-31T23:59:59.000Z"


def _kql(value: str) -> str:
    """A quoted value of Kibana's query language."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _rison(text: str) -> str:
    """A string in Rison, the notation of Kibana's addresses."""
    return "'" + text.replace("!", "!!").replace("'", "!'") + "'"


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")
