"""A report as it is stored: everything that is told, so that it can be shown, compared and told again."""

from __future__ import annotations

import msgspec

from streaming import decoding
from streaming.reports.period import Period

VERSION = 1
"""Of the structs here; a stored report of another version is built anew."""

ERROR_LEVELS = ("ERROR", "FATAL")


class Tally(msgspec.Struct, frozen=True):
    """Documents, and how many of them are errors: of level ERROR or FATAL."""

    documents: int = 0
    errors: int = 0

    @property
    def ratio(self) -> float | None:
        """Errors among documents; None where there are none."""
        return self.errors / self.documents if self.documents else None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What one service, node or level had, in the period, in the one before it, and a week before a day (None: nothing
    at all was counted of that time, so nothing can be compared)."""

    name: str
    now: Tally
    before: Tally | None = None
    week_ago: Tally | None = None
    service: str = ""
    """Of a node: the service that most of its errors are of."""


class TemplateLine(msgspec.Struct, frozen=True, kw_only=True):
    """Messages that differ in their values alone. `count` are errors in the list of errors, else documents."""

    template: str
    """Its id; empty for shapes that are in no template (yet)."""
    text: str
    example: str
    count: int
    before: int | None = None
    week_ago: int | None = None
    level: str = ""
    """The most frequent."""
    service: str = ""
    """Likewise."""
    first_ms: int = 0
    """By the logs' own time, within the period; of what vanished, when it was last seen."""


class Templates(msgspec.Struct, frozen=True, kw_only=True):
    """What the logs said."""

    errors: list[TemplateLine] = []
    """Of errors, the most frequent first."""
    error_templates: int = 0
    """How many there are."""
    new: list[TemplateLine] = []
    """Never received before the period, of any level; errors first."""
    new_total: int = 0
    vanished: list[TemplateLine] = []
    """Seen in the period before and not in this one, the most frequent first."""
    vanished_total: int | None = 0
    """None: nothing was counted of the period before."""


class SlotLine(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the period (`period.Slot`)."""

    label: str
    start_ms: int
    now: Tally
    errors_before: int | None = None
    """Of the slot of the same local time in the period before."""


class VolumeLine(msgspec.Struct, frozen=True, kw_only=True):
    """What the documents of a service take in Elasticsearch: their share of the documents of each index, of its bytes
    as it was when the report was built, copies included."""

    service: str
    documents: int
    bytes: int
    cost: float | None = None


class Lengths(msgspec.Struct, frozen=True):
    """Lengths of time in ms; all 0 where there are none."""

    count: int = 0
    median_ms: int = 0
    p90_ms: int = 0
    longest_ms: int = 0


class RuleLine(msgspec.Struct, frozen=True, kw_only=True):
    """A rule, by the incidents it opened in the period."""

    rule_id: str
    opened: int
    reopened: int
    acknowledged: int
    logs: int
    """Logs (or other findings) that they counted until the cut-off."""


class IncidentLine(msgspec.Struct, frozen=True, kw_only=True):
    """An incident that was opened in the period, as it stood at the cut-off."""

    incident_id: str
    title: str
    rule_id: str
    severity: str
    opened_ms: int
    count: int
    acknowledged_ms: int | None = None
    resolved_ms: int | None = None


class Incidents(msgspec.Struct, frozen=True, kw_only=True):
    """Incidents that were opened in the period, by the history up to the cut-off. Canaries are left out."""

    opened: int = 0
    reopened: int = 0
    acknowledged: int = 0
    resolved: int = 0
    by_severity: dict[str, int] = {}
    to_acknowledge: Lengths = Lengths()
    to_resolve: Lengths = Lengths()
    rules: list[RuleLine] = []
    worst: list[IncidentLine] = []
    """The most severe, of these those that took longest."""
    known_since_ms: int | None = None
    """Where the history that Kafka keeps begins only within or after the period."""


class NodeLine(msgspec.Struct, frozen=True, kw_only=True):
    """How long a node was in which state within the period, in ms."""

    node_id: str
    service: str
    up_ms: int = 0
    """UP or SUSPECT."""
    down_ms: int = 0
    """DOWN, and it had not said so itself."""
    planned_ms: int = 0
    """In maintenance, or down by its own word."""
    unknown_ms: int = 0
    outages: int = 0
    """How often it went down."""

    @property
    def availability(self) -> float | None:
        """Up, of the time in which it should have been and something is known; None where that is no time."""
        known = self.up_ms + self.down_ms
        return self.up_ms / known if known else None


class Nodes(msgspec.Struct, frozen=True, kw_only=True):
    """All nodes of the registry that are not retired."""

    total: int = 0
    always_up: int = 0
    """Of those of which something is known."""
    availability: float | None = None
    """Of all together."""
    worst: list[NodeLine] = []
    """Those that were not up all the time, the worst first."""
    known_since_ms: int | None = None
    """Where the history that Kafka keeps begins only within or after the period."""


class LatencyPoint(msgspec.Struct, frozen=True, kw_only=True):
    """From a log line to its alert, as one audit measured it, in ms."""

    at_ms: int
    p50_ms: float
    p99_ms: float


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    """What the pipeline's audits of the period say, and the dead letters of the period."""

    audits: int = 0
    failed: int = 0
    """Audits that could not be carried out, or found a fault."""
    lost: int = 0
    """Events that were received and are nowhere: the most that an audit found."""
    reconciled: int = 0
    """Records that were reconciled."""
    latency: list[LatencyPoint] = []
    findings: list[str] = []
    """What audits complained of, one line each."""
    dead_letters: dict[str, int] = {}
    """By reason."""


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """What of the period has come since the report was first built. The report's numbers are without it."""

    at_ms: int
    late: Tally = Tally()
    """Received after the cut-off."""
    indexed_late: Tally = Tally()
    """Received before it, and searchable only after the first build: the indexer was behind, or dead letters were
    replayed."""
    gone: Tally = Tally()
    """Counted in the report, and deleted since."""
    services: list[Line] = []
    """Late and indexed late together, by service; `now` is what came."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report of a period."""

    version: int = VERSION
    period: Period
    built_ms: int
    """When its numbers were counted."""
    shown_ms: int
    """When it was last built: a rebuild looks for what came since."""
    total: Line
    levels: list[Line]
    slots: list[SlotLine]
    services: list[Line]
    other_services: Tally
    """Beyond those that are listed."""
    nodes_with_errors: list[Line]
    templates: Templates
    volume: list[VolumeLine]
    price_per_gb: float
    currency: str
    incidents: Incidents
    nodes: Nodes
    pipeline: Pipeline
    elsewhere: int = 0
    """Documents received in the period whose own time lies outside of it."""
    notes: list[str] = []
    """What a reader must know to trust the numbers."""
    correction: Correction | None = None

    @property
    def id(self) -> str:
        """Of its document."""
        return f"{self.period.kind}-{self.period.first_day}"


def decode(raw: bytes) -> Report | None:
    """A stored report; None where it is of another version, or none."""
    try:
        report = decoding.decode(raw, Report)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return report if report.version == VERSION else None


def encode(report: Report) -> bytes:
    """As it is stored."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1)
