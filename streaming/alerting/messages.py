"""What matcher, manager and notifier hand to each other through Kafka."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from streaming.events.model import Level


class Severity(StrEnum):
    """How urgent an incident is; set by the rule."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class IncidentState(StrEnum):
    """Lifecycle of an incident (design decision 7)."""

    PENDING = "pending"
    """Its rule asks that the condition hold for a time (`for`), which is not over: nobody is told yet."""
    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    SILENCED = "silenced"
    RESOLVED = "resolved"


class Sample(msgspec.Struct, kw_only=True):
    """The event behind an incident, as much of it as a message to a person needs; text at most 2,000 characters."""

    timestamp_ms: int
    level: Level
    message: str
    service: str
    node_id: str
    log_id: str | None = None
    trace_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    source: str | None = None
    """Where it lies: coordinates key, else `topic-partition-offset`."""
    received_ms: int = 0
    """When its accumulator received it: what the time from log to alert is measured from."""


class Candidate(msgspec.Struct, kw_only=True, tag="match", tag_field="kind"):
    """A rule fires (topic `candidates`, key `incident_key`). `count` events of one rule and group, not told before."""

    rule_id: str
    group: dict[str, str]
    severity: Severity
    title: str
    count: int
    first_ms: int
    last_ms: int
    received_ms: int
    sample: Sample
    resolve_after_s: float | None = None
    """Quiet time after which the manager resolves; None: only an explicit resolution does."""
    route: str = "default"
    runbook: str | None = None
    labels: dict[str, str] = {}
    max_groups: int | None = None
    """How many groups of its rule have incidents of their own; None: all."""
    for_s: float = 0.0
    """How long it must go on before anybody is told."""
    repeat_every_s: float | None = None
    """How often an incident that nobody acknowledged is told again; None: never."""
    owner: str = ""
    text: str = ""
    """The rule's message, rendered; empty: the sample's text speaks for itself."""
    rule_kind: str = ""
    """Kind of its rule (`match`, `node-health`); the desk knows it."""
    late: bool = False
    """Its events belong to a time that its incident has passed: they are counted in, and neither reopen it nor keep it
    open."""

    @property
    def incident_key(self) -> str:
        """One incident at a time per rule and group."""
        return incident_key(self.rule_id, self.group)


class Recovery(msgspec.Struct, kw_only=True, tag="recovery", tag_field="kind"):
    """What a rule and group fired for is over (topic `candidates`): its incident resolves. A rule's `resolve_when`
    was matched, or a condition over a window no longer holds."""

    rule_id: str
    group: dict[str, str]
    received_ms: int
    reason: str

    @property
    def incident_key(self) -> str:
        """That of the incident that it ends."""
        return incident_key(self.rule_id, self.group)


class Count(msgspec.Struct, kw_only=True, tag="count", tag_field="kind"):
    """What one matcher counted of one rule and group since its last transaction (topic `candidates`): a partial count.

    `buckets` are `(start_ms, matching, all)`: logs whose event time, clamped to their receive time (`clamped_ms` of
    `matcher/clamping.py`), lies in the bucket that begins at `start_ms`; buckets are `Rule.bucket_ms` long and begin at
    its multiples. `all` counts what `matching` is a share of, for ratios; elsewhere it is 0.
    """

    rule_id: str
    group: dict[str, str]
    buckets: list[tuple[int, int, int]]
    first_ms: int
    last_ms: int
    received_ms: int
    """The latest receive time of what was counted."""
    sample: Sample | None
    """The latest of the worst level; None where nothing matched (a ratio counts what does not, too)."""
    definition: str = ""
    """By which definition of the rule it was found (`rules/definition.py`): of another than that in force it is
    dropped. Empty: not told, and taken."""


class Seen(msgspec.Struct, kw_only=True, tag="seen", tag_field="kind"):
    """A value of the field that a rule watches for new ones (topic `candidates`). A matcher tells a value again only
    after `SEEN_AGAIN_MS` (`matcher/told.py`), or after it was started: whether it is new only the manager knows."""

    rule_id: str
    group: dict[str, str]
    value: str
    shown: str
    """The value as people read it: a fingerprint's template."""
    count: int
    first_ms: int
    last_ms: int
    received_ms: int
    sample: Sample
    definition: str = ""
    """By which definition of the rule it was found (`rules/definition.py`): of another than that in force it is
    dropped. Empty: not told, and taken."""


class Progress(msgspec.Struct, kw_only=True, tag="progress", tag_field="kind"):
    """How far a matcher has read (topic `candidates`), told once a second: of each of its partitions of `logs` the
    receive time, in ms, up to which every log was evaluated; of one that is read to its end, now.

    What the manager concludes from silence it concludes by the least of these: a matcher that is away makes no
    service look silent.
    """

    matcher: str
    partitions: dict[int, int]
    rules_version: str


Finding = Candidate | Recovery | Count | Seen | Progress
"""What matchers tell the manager, in topic `candidates`."""


def incident_key(rule_id: str, group: dict[str, str]) -> str:
    """`rule|field=value|field=value`; a `|` in a value, which comes from a log, cannot make two groups one."""
    return "|".join([rule_id, *(f"{k}={_escaped(v)}" for k, v in sorted(group.items()))])


def _escaped(value: str) -> str:
    return value.replace("%", "%25").replace("|", "%7C")


class Incident(msgspec.Struct, kw_only=True):
    """One incident (topic `incident-state`, key `incident_id`). `version` rises by one with every change."""

    incident_id: str
    incident_key: str
    rule_id: str
    group: dict[str, str]
    severity: Severity
    title: str
    state: IncidentState
    version: int
    count: int
    opened_ms: int
    first_ms: int
    last_ms: int
    updated_ms: int
    last_received_ms: int
    """When the manager last took a candidate in, by its clock: quiet time counts from here."""
    sample: Sample
    resolve_after_s: float | None
    resolved_ms: int | None = None
    reopened: int = 0
    route: str = "default"
    notified_version: int = 0
    notified_ms: int = 0
    """When a notification was last ordered: updates are debounced from here."""
    reason: str = ""
    acknowledged_by: str | None = None
    acknowledged_ms: int | None = None
    runbook: str | None = None
    labels: dict[str, str] = {}
    owner: str = ""
    text: str = ""
    for_s: float = 0.0
    repeat_every_s: float | None = None
    rule_kind: str = ""
    muted_by: str = ""
    """Why nobody is told: `silence ID`, `maintenance NAME`, `inhibited by ID` (of an incident), `SERVICE is broken: ID`
    (its service needs that one) or `flapping: ID`. An incident that somebody has acknowledged stays acknowledged."""
    firing_since_ms: int = 0
    """When it last began to fire: opened, held for long, reopened, unmuted. Escalation and repeats count from it."""
    repeated_ms: int = 0
    escalated: int = 0
    """How many steps of its route's escalation were taken."""
    notes: tuple[str, ...] = ()
    """Ids of the notes that are attached to it, in order; what they say is in its history."""


class Note(msgspec.Struct, kw_only=True, frozen=True):
    """What a person or a program has to say of an incident (`incidents/notes.py`). Lines that begin with four blanks
    are shown as they stand, as logs are."""

    note_id: str
    author: str
    text: str


class Action(StrEnum):
    """What a notification does at its receiver."""

    OPEN = "open"
    UPDATE = "update"
    RESOLVE = "resolve"
    REOPEN = "reopen"
    REPEAT = "repeat"
    """It goes on and nobody has acknowledged it: a reply in its thread."""
    ESCALATE = "escalate"
    """A step of its route's escalation: a new message to `receivers`."""
    ANNOTATE = "annotate"
    """Somebody attached a note: a reply in its thread, wherever people were told of it. Alerts nobody."""


class Notification(msgspec.Struct, kw_only=True):
    """An order to the notifier (topic `notifications`, key incident_id); `incident.version` orders them."""

    action: Action
    incident: Incident
    created_ms: int
    receivers: tuple[str, ...] = ()
    """Names of the receivers, as the route said when it was decided; empty: those of the default route."""
    fallback: tuple[str, ...] = ()
    """Those that take it where a receiver fails for long."""
    mentions: tuple[str, ...] = ()
    """People to call by name: who is on call (`Person.name`)."""
    note: Note | None = None
    """What `ANNOTATE` attaches."""


class Happening(StrEnum):
    """What an entry of an incident's history tells."""

    OPENED = "opened"
    UPDATED = "updated"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    SILENCED = "silenced"
    UNSILENCED = "unsilenced"
    REPEATED = "repeated"
    ESCALATED = "escalated"
    ANNOTATED = "annotated"


class IncidentEvent(msgspec.Struct, kw_only=True):
    """One entry of an incident's history (topic `incident-events`, key incident_id)."""

    happening: Happening
    at_ms: int
    actor: str
    """A rule, a person or `manager`."""
    reason: str
    incident: Incident
    note: Note | None = None
    """What was attached, where it was annotated."""


class Order(StrEnum):
    """What a command asks of the manager."""

    ACKNOWLEDGE = "acknowledge"
    UNACKNOWLEDGE = "unacknowledge"
    RESOLVE = "resolve"
    ANNOTATE = "annotate"
    """Attaches a note to the incident, also to a resolved one that is not forgotten."""
    SILENCE = "silence"
    """Makes a silence, or changes the one of the same id."""
    UNSILENCE = "unsilence"
    """Ends a silence now."""
    APPLY_RULES = "apply-rules"
    """No order to the manager: a matcher writes into the audit that a rule set came into force."""


class Matcher(msgspec.Struct, kw_only=True, frozen=True):
    """A condition of a silence on one attribute of an incident: `rule`, `kind`, `severity`, `owner`, `incident` (its
    key), a field of its group (`service.name`) or `labels.NAME` (`rules/incident_conditions.py`). `op` is `=`, `!=`,
    `=~` or `!~` (RE2, found anywhere in the value)."""

    name: str
    op: str
    value: str


class Silence(msgspec.Struct, kw_only=True):
    """Nobody is told of incidents that fit all matchers, from `starts_ms` until `ends_ms` (topic `silences`)."""

    silence_id: str
    matchers: tuple[Matcher, ...]
    starts_ms: int
    ends_ms: int
    author: str
    reason: str
    created_ms: int


class Command(msgspec.Struct, kw_only=True):
    """An order of a person or of a worker (topic `commands`).

    It names the incident by `incident_id`, or by `incident_key`: whichever is open under it at that time. One
    that fits no open incident does nothing. `silence` is what `SILENCE` makes, `silence_id` what `UNSILENCE` ends.
    """

    order: Order
    author: str
    at_ms: int
    incident_id: str | None = None
    incident_key: str | None = None
    reason: str = ""
    silence: Silence | None = None
    silence_id: str | None = None
    order_id: str = ""
    """Random name by which its entry in the audit is found; empty: nobody waits for it."""
    note: str = ""
    """What `ANNOTATE` attaches: at most `NOTE_LIMIT` characters."""
    note_id: str = ""
    """Its id, at most `NOTE_ID_LIMIT` characters: an incident takes a note of one id once. Empty: the order's."""


NOTE_LIMIT = 3000
"""Characters of a note: a Slack message shows 4,000, of which escaping takes some."""
NOTE_ID_LIMIT = 40
NOTES_LIMIT = 20
"""Notes of one incident: 20 ids of 40 characters are 800 bytes of its state."""

DONE = "done"
NO_SUCH_INCIDENT = "there is no such incident"
NO_SUCH_SILENCE = "there is no such silence"
HAS_NOTE = "it has this note already"
"""Outcomes of orders (`AuditEntry.outcome`) that programs ask for; others are for people."""


class AuditEntry(msgspec.Struct, kw_only=True):
    """Who ordered what, and what came of it (topic `audit`, key: what it was about)."""

    at_ms: int
    author: str
    order: Order
    target: str
    """Id or key of the incident or silence."""
    reason: str
    outcome: str
    """`done`, or why nothing was done."""
    order_id: str = ""
    """That of the command."""
    silence: Silence | None = None
    """The silence that was made, changed or ended, as it is since then: silences themselves are kept for a day."""
    note: str = ""
    """The beginning of the note that was attached; all of it is in the incident's history."""


class Receipt(msgspec.Struct, kw_only=True):
    """What was delivered (topic `notification-receipts`, key `incident_id|receiver`).

    `message_id` is the receiver's own name of the message (Slack: channel and ts), by which it is edited.
    """

    incident_id: str
    receiver: str
    version: int
    action: Action
    rule_id: str
    severity: Severity
    title: str
    sent_ms: int
    message_id: str | None = None
    channel: str | None = None
    state: IncidentState | None = None
    """The incident's, as it was delivered."""
    alerted: int | None = None
    """The last version of the incident that was to alert people and did so there; None: `version`."""
    digest: str = ""
    """Id of the digest whose message tells of it: `message_id` is that one's, and further changes edit it."""
    noted: int = 0
    """Version of the incident that the last note made which was delivered there. A note counts apart from `version`:
    what is told to a receiver in another's place may run ahead of it."""
    intent: str = ""
    """Id of the digest (`D...`) or notice (`N...`) that is about to tell of it, written before that is sent: after a
    crash in between, what may have been sent is looked for by it. With version 0 nothing was delivered before."""


class Attempt(msgspec.Struct, kw_only=True):
    """One try to deliver (topic `delivery-attempts`, key incident_id): what the receiver made of it.

    For people who ask what happened. What was delivered is known from the receipts alone: an attempt may be missing
    where its notifier was killed.
    """

    at_ms: int
    incident_id: str
    receiver: str
    action: Action
    version: int
    outcome: str
    """`delivered`, or the receiver's reason and words."""
    message_id: str | None = None
    channel: str | None = None


DELIVERED = "delivered"
"""Outcome of an attempt that arrived."""
