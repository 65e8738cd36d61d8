"""Which incidents share a message, and when it is written: pure, with the clock passed in.

A receiver that may not post as fast as incidents open says `paced`, or takes long to answer. Where the last of those
that wait for messages of their own would wait for more than `WAIT_SINGLY_S`, they are gathered into a digest: one
message for all of them, posted with the next token. What opens within `OPEN_FOR_S` of that joins it by an edit; an edit
alerts nobody, so what is worse than all that the message was posted for goes by itself, or into another digest.
Whatever becomes of its members is shown by edits too, each at least `EDIT_EVERY_S` after the one before, so that ten
thousand incidents cost what one costs. A member has no thread of its own: its notes are replies in the digest's, which
name it.

Before a digest or a notice is sent, receipts say for each member which one is about to tell of it (`Receipt.intent`):
the next notifier finds by that id what was sent and has no receipt, and neither sends it twice nor forgets a member.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf

import msgspec

from streaming.alerting.incidents.lifecycle import SEVERITY_RANK
from streaming.alerting.messages import Action, IncidentState, Notification, Receipt
from streaming.alerting.notifier.outbox import Item, Outbox
from streaming.alerting.receipts import alerted
from streaming.alerting.receivers.base import Delivered, Digest

WAIT_SINGLY_S = 10.0
"""So long may an incident wait for a message of its own: at one a second, ten of them may."""

POST_EVERY_S = 1.0
"""What a message of its own takes a paced receiver at least; one that answers later is as slow as if it were paced."""

OPEN_FOR_S = 60.0
"""How long a digest takes new incidents in, from when it was posted."""

EDIT_EVERY_S = 5.0
"""12 edits a minute for each digest, of the 50 that Slack takes. At most four digests, one for each severity, take
incidents in at a time: 48."""

MEMBERS_LIMIT = 10_000
"""Incidents of a digest: then the next one begins. A receipt takes some 500 bytes: 5 MB."""

GATHER_S = 0.5
"""How long more is waited for when something waits for a digest: what happens to one often happens to many."""

MENTIONS_LIMIT = 10
DIGEST, REPEATS, ESCALATIONS, OVER, ATTACHED = "D", "R", "E", "O", "A"
"""First letters of the ids of digests and notices."""


def new_id(kind: str, at_ms: int) -> str:
    """A name for a digest or a notice that says when it was begun."""
    return f"{kind}{at_ms:012x}{secrets.token_hex(4)}"


def note_name(notification: Notification) -> str:
    """The notice that attaches a note: the same whoever sends it."""
    note_id = notification.note.note_id if notification.note is not None else ""
    return f"{ATTACHED}{notification.created_ms:012x}{notification.incident.incident_id}{note_id}"


def began_ms(name: str) -> int:
    """When the digest or notice of this name was begun."""
    return int(name[1:13], 16)


@dataclass(eq=False)
class Gathering:
    """One digest. `members` are its incidents as they are shown, `pending` those that have something waiting."""

    digest_id: str
    members: dict[str, Receipt] = field(default_factory=dict)
    pending: dict[str, None] = field(default_factory=dict)
    message: Delivered | None = None
    look_first: bool = False
    """Its message may have been posted."""
    announced: int = -1
    """Rank of the worst severity when its message was posted."""
    open_until: float = inf
    not_before: float = 0.0
    is_stale: bool = False
    """A member has left it since it was written."""
    mentions: dict[str, None] = field(default_factory=dict)
    told_over: bool = False
    """Its thread says that all of it is over."""

    def next_at(self) -> float | None:
        """When it is to be written; None: there is nothing to write."""
        return self.not_before if self.pending or (self.is_stale and self.message) else None

    def shown(self, members: Iterable[Receipt]) -> Digest:
        """As receivers understand it."""
        calls = tuple(self.mentions)[:MENTIONS_LIMIT]
        return Digest(self.digest_id, began_ms(self.digest_id), tuple(members), self.message, calls)


@dataclass(frozen=True)
class Work:
    """What is to be written of one digest now: the items of its members that wait, in order."""

    digest: Gathering
    items: tuple[Item, ...]

    def latest(self) -> dict[str, Notification]:
        """The last of each incident: how it is now."""
        return {item.notification.incident.incident_id: item.notification for item in self.items}

    def alerts(self) -> dict[str, int]:
        """Up to which version of each incident people are alerted when it is written."""
        found: dict[str, int] = {}
        for item in self.items:
            incident_id = item.notification.incident.incident_id
            found[incident_id] = max(item.alerts, found.get(incident_id, 0))
        return found

    def notes(self) -> dict[str, list[Notification]]:
        """The notes that are to be attached to incidents, in order."""
        found: dict[str, list[Notification]] = {}
        for item in self.items:
            if item.is_note:
                found.setdefault(item.notification.incident.incident_id, []).append(item.notification)
        return found

    def actions(self) -> dict[str, set[Action]]:
        """All that is to be done of each incident."""
        found: dict[str, set[Action]] = {}
        for item in self.items:
            found.setdefault(item.notification.incident.incident_id, set()).add(item.notification.action)
        return found


class Digests:
    """The digests of one receiver, and what waits for them. Not thread-safe."""

    def __init__(self) -> None:
        self.held = Outbox()
        self._digests: dict[str, Gathering] = {}
        self._home: dict[str, str] = {}
        """Where what waits of an incident belongs: the digest that tells of it, or is about to."""
        self._member_of: dict[str, str] = {}
        self._own: set[str] = set()
        """Incidents that were found to have messages of their own."""
        self._current: Gathering | None = None

    def restart(self, receipts: Iterable[Receipt]) -> None:
        """Forgets what waits, and knows the digests that these receipts tell of."""
        self.held.clear()
        self._digests, self._home, self._member_of, self._own, self._current = {}, {}, {}, set(), None
        for receipt in receipts:
            if receipt.digest:
                digest = self._known(receipt.digest)
                digest.members[receipt.incident_id] = receipt
                self._member_of[receipt.incident_id] = receipt.digest
                digest.message = Delivered(receipt.message_id, receipt.channel)
        for digest in self._digests.values():
            digest.told_over = is_over(digest)

    def __len__(self) -> int:
        return len(self.held)

    def holds(self, incident_id: str) -> bool:
        """Whether something of this incident waits for a digest."""
        return incident_id in self.held.waiting

    # ------------------------------------------------------------------------------------------- what is gathered

    def press(
        self,
        waiting: Iterable[tuple[Item, Receipt | None]],
        wait_s: float,
        now: float,
        now_ms: int,
        each_s: float = POST_EVERY_S,
    ) -> bool:
        """The receiver is paced for so long, and takes `each_s` for a message; these wait, the first of each incident,
        with their receipts. True where they are gathered into a digest from now on."""
        singly = sum(1 for item, receipt in waiting if _needs_message(item, receipt) and not self._may_join(item, now))
        if singly <= max(1, int(WAIT_SINGLY_S / each_s)):
            return False
        self._begin(now + wait_s, now_ms)
        return True

    def has_taken(self, took_s: float, waiting: Iterable[tuple[Item, Receipt | None]], now: float, now_ms: int) -> None:
        """The receiver took so long for a message of its own: one that answers slowly never comes to be paced, so that
        what waits (as for `press`, and looked at only then) is gathered here."""
        if took_s > POST_EVERY_S:
            self.press(waiting, 0.0, now, now_ms, took_s)

    def gather(self, item: Item, receipt: Receipt | None, now: float, now_ms: int) -> bool:
        """Takes an item in, where a digest is to tell of it; false: it goes by itself."""
        incident = item.notification.incident
        digest = self._digest_for(item, receipt, now, now_ms)
        if digest is None:
            return False
        self._home[incident.incident_id] = digest.digest_id
        if not digest.pending:
            digest.not_before = max(digest.not_before, now + GATHER_S)
        digest.pending[incident.incident_id] = None
        self.held.put(item)
        return True

    def _digest_for(self, item: Item, receipt: Receipt | None, now: float, now_ms: int) -> Gathering | None:
        incident, action = item.notification.incident, item.notification.action
        if incident.incident_id in self._own:
            return None
        if incident.incident_id in self._home:
            return self._digests[self._home[incident.incident_id]]
        if receipt is not None and receipt.intent.startswith(DIGEST):
            digest = self._known(receipt.intent)
            # Nobody knows whether the notifier that said so came to post it.
            digest.look_first = digest.look_first or digest.message is None
            return digest
        if receipt is not None and receipt.digest and action is not Action.REOPEN:
            return self._known(receipt.digest)
        if not _needs_message(item, receipt) or not self._may_join(item, now) or self._current is None:
            return None
        if len(self._current.members) + len(self._current.pending) >= MEMBERS_LIMIT:
            self._begin(now, now_ms)
        return self._current

    def _may_join(self, item: Item, now: float) -> bool:
        """Whether the digest that takes incidents in now takes this one."""
        current = self._current
        if current is None or now >= current.open_until:
            return False
        rank = SEVERITY_RANK[item.notification.incident.severity]
        return current.message is None or rank <= current.announced

    def _begin(self, not_before: float, now_ms: int) -> None:
        self._current = self._known(new_id(DIGEST, now_ms))
        self._current.not_before = not_before

    def _known(self, digest_id: str) -> Gathering:
        return self._digests.setdefault(digest_id, Gathering(digest_id, open_until=inf))

    # -------------------------------------------------------------------------------------------- what is written

    def next_at(self) -> float | None:
        """When something is to be written; None: nothing is."""
        return min((at for digest in self._digests.values() if (at := digest.next_at()) is not None), default=None)

    def due(self, now: float) -> Work | None:
        """What is to be written now, of the digest that has waited longest; None: nothing is."""
        waiting = [(at, digest) for digest in self._digests.values() if (at := digest.next_at()) is not None]
        if not waiting:
            return None
        at, digest = min(waiting, key=lambda entry: entry[0])
        if at > now:
            return None
        return Work(digest, tuple(item for incident in digest.pending for item in self.held.waiting[incident]))

    def written(self, work: Work, message: Delivered, members: dict[str, Receipt], now: float) -> None:
        """Its message shows these members."""
        digest = work.digest
        if digest.message is None:
            digest.announced = max((SEVERITY_RANK[member.severity] for member in members.values()), default=-1)
            digest.open_until = now + OPEN_FOR_S
        for incident_id in members.keys() - digest.members.keys():
            self._leave(incident_id)
            self._member_of[incident_id] = digest.digest_id
        digest.message, digest.members = message, members
        digest.look_first = digest.is_stale = False
        digest.told_over = digest.told_over and is_over(digest)
        digest.not_before = now + EDIT_EVERY_S

    def settled(self, work: Work, items: Iterable[Item]) -> None:
        """Receipts of these items are durable."""
        gone = list(items)
        self.held.remove(gone)
        for item in gone:
            incident_id = item.notification.incident.incident_id
            if incident_id not in self.held.waiting:
                work.digest.pending.pop(incident_id, None)
                self._home.pop(incident_id, None)

    def failed(self, work: Work, now: float, wait_s: float, *, unknown: bool) -> None:
        """It was not written, as far as is known; the next attempt is not before so long."""
        work.digest.look_first = work.digest.look_first or (unknown and work.digest.message is None)
        work.digest.not_before = max(work.digest.not_before, now + wait_s)

    # --------------------------------------------------------------------------------------- what goes by itself

    def has_own(self, work: Work, incident_ids: Iterable[str]) -> list[Item]:
        """These have messages of their own already: gives back what waits of them, to go by itself."""
        self._own |= set(incident_ids)
        items = [item for item in work.items if item.notification.incident.incident_id in self._own]
        self.settled(work, items)
        return items

    def delivered(self, incident_id: str) -> None:
        """A message of its own tells of it now: it is no member of a digest any more."""
        self._own.discard(incident_id)
        self._leave(incident_id)

    def release(self) -> list[Item]:
        """Gives back all that waits: others are to be told in this receiver's place."""
        items = list(self.held)
        self.held.clear()
        self._home.clear()
        for digest in self._digests.values():
            digest.pending.clear()
        self._current = None
        return items

    def forget(self, receipts: Iterable[Receipt]) -> None:
        """These receipts were given up."""
        for receipt in receipts:
            digest = self._digests.get(receipt.digest)
            if digest is not None and digest.members.pop(receipt.incident_id, None) is not None:
                self._member_of.pop(receipt.incident_id, None)
                if not digest.members and not digest.pending:
                    del self._digests[receipt.digest]

    def _leave(self, incident_id: str) -> None:
        digest = self._digests.get(self._member_of.pop(incident_id, ""))
        if digest is not None and digest.members.pop(incident_id, None) is not None:
            digest.is_stale = True


def _needs_message(item: Item, receipt: Receipt | None) -> bool:
    """Whether it is told by a message that is not there yet, whichever that will be."""
    if item.is_note:
        return False
    return item.notification.action is Action.REOPEN or receipt is None or not receipt.message_id


def is_over(digest: Gathering) -> bool:
    """Whether all of it are resolved."""
    return all(member.state is IncidentState.RESOLVED for member in digest.members.values())


def intended(receipt: Receipt | None, notification: Notification, receiver: str, name: str, now_ms: int) -> Receipt:
    """The receipt that says that a digest or notice of this name is about to tell of an incident."""
    if receipt is None:
        receipt = _receipt_of(notification, receiver, now_ms, version=0)
    return msgspec.structs.replace(receipt, intent=name)


def shown_by(
    notification: Notification, receiver: str, digest_id: str, now_ms: int, before: Receipt | None, alerts: int
) -> Receipt:
    """The receipt of an incident that a digest shows; where its message is follows when it is written. `alerts` is the
    version up to which it alerts."""
    if before is not None and before.digest == digest_id and before.version >= notification.incident.version:
        # What was meant for another receiver comes late: the digest shows what came after it, and only alerts.
        return msgspec.structs.replace(before, sent_ms=now_ms, alerted=max(alerts, alerted(before)), intent="")
    receipt = _receipt_of(notification, receiver, now_ms, notification.incident.version)
    alerts, noted = max(alerts, 0 if before is None else alerted(before)), 0 if before is None else before.noted
    return msgspec.structs.replace(receipt, digest=digest_id, alerted=alerts, noted=noted)


def _receipt_of(notification: Notification, receiver: str, now_ms: int, version: int) -> Receipt:
    incident = notification.incident
    return Receipt(
        incident_id=incident.incident_id,
        receiver=receiver,
        version=version,
        action=notification.action,
        rule_id=incident.rule_id,
        severity=incident.severity,
        title=incident.title,
        sent_ms=now_ms,
        state=incident.state,
    )
