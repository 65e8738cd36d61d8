"""Sends digests: intents, the message, notices, receipts, in this order, each step safe to repeat.

1. What was tried by itself before, with an outcome that nobody knows, is looked for, and goes by itself where it was
   found.
2. Receipts that say which digest is about to tell of each new member become durable.
3. The message is posted, or found and edited.
4. Where all members are over, its thread says so: an edit alerts nobody.
5. Receipts become durable of all but those that need a notice or have notes.
6. Notes are attached in its thread, each looked for before, and the receipts of their incidents become durable.
7. Notices tell that members go on, or are escalated, with intents before, as in 2; then receipts of the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import msgspec

from streaming.alerting.messages import Action, Notification, Receipt
from streaming.alerting.notifier.digests import (
    ESCALATIONS,
    MENTIONS_LIMIT,
    OVER,
    REPEATS,
    Digests,
    Work,
    began_ms,
    intended,
    is_over,
    new_id,
    note_name,
    shown_by,
)
from streaming.alerting.notifier.outbox import Item
from streaming.alerting.receipts import alerted
from streaming.alerting.receivers.base import Delivered, Notice, TellsMany

NOTICES = {Action.ESCALATE: ESCALATIONS, Action.REPEAT: REPEATS}
"""What must alert, and is told of members of a digest by a notice; the first of these that applies."""


class Lane(Protocol):
    """What the lane does for it."""

    @property
    def name(self) -> str:
        """Of its receiver."""
        ...

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Guards the digests: other threads ask what waits."""
        ...

    def receipt_of(self, incident_id: str) -> Receipt | None:
        """The latest receipt of an incident."""
        ...

    def keep(self, receipts: Sequence[Receipt]) -> bool:
        """Returns when these are durable; false: the notifier is closing, or another one is active."""
        ...

    def has_settled(self, items: Iterable[Item], receipts: Mapping[str, Receipt]) -> None:
        """These items are delivered, and their receipts durable."""
        ...

    def goes_by_itself(self, items: Iterable[Item]) -> None:
        """These have messages of their own, which are to be found and edited."""
        ...


class Closing(Exception):
    """The notifier closes, or no longer is the active one: what is not durable is done again by the next one."""


@dataclass
class DigestWriter:
    """Writes what is due, for one lane, by its thread."""

    lane: Lane
    digests: Digests
    receiver: TellsMany
    now: float
    now_ms: int

    def write(self, work: Work) -> None:
        """Writes the digest, and tells who must be told.

        Raises:
            Undelivered: it is to be tried again; what was not settled waits.
            Closing: the notifier closes.
        """
        work = self._without_told(work)
        digest, latest = work.digest, work.latest()
        alerts, place = work.alerts(), (self.lane.name, digest.digest_id, self.now_ms)
        new = {i: shown_by(note, *place, self.lane.receipt_of(i), alerts[i]) for i, note in latest.items()}
        joining = [incident_id for incident_id in new if incident_id not in digest.members]
        if digest.message is None and not joining:
            return
        self._intend({i: latest[i] for i in joining}, digest.digest_id)
        posts, actions = digest.message is None, work.actions()
        fresh = set(joining)
        calling = {i: call for i in new if (call := _calls(actions[i], i in fresh, posts)) is not None}
        self._show(work, new, [latest[i] for i in joining])
        self._tell_over(work)
        notes = work.notes()
        self._settle(work, {i: receipt for i, receipt in new.items() if i not in calling and i not in notes})
        for incident_id, attached in notes.items():
            new[incident_id] = self._attach(work, new[incident_id], attached)
            if incident_id not in calling:
                self._settle(work, {incident_id: new[incident_id]})
        for action in NOTICES:
            called = {i: receipt for i, receipt in new.items() if calling.get(i) is action}
            self._notify(work, action, called)

    def _without_told(self, work: Work) -> Work:
        """The work without what has messages of its own: attempts of unknown outcome, or those of a forerunner."""
        suspects = {}
        for item in work.items:
            incident = item.notification.incident
            receipt = self.lane.receipt_of(incident.incident_id)
            is_intended = receipt is not None and receipt.intent == work.digest.digest_id
            if item.look_first and not is_intended and incident.incident_id not in work.digest.members:
                suspects[incident.incident_id] = (incident, receipt)
        if not suspects:
            return work
        since_ms = min(item.notification.created_ms for item in work.items)
        told = self.receiver.find_told(suspects, since_ms)
        with self.lane.lock:
            own = self.digests.has_own(work, told)
        self.lane.goes_by_itself(own)
        gone = set(map(id, own))
        return Work(work.digest, tuple(item for item in work.items if id(item) not in gone))

    def _intend(self, latest: Mapping[str, Notification], name: str) -> None:
        """Makes durable that a digest of this name is about to tell of these."""
        fresh = []
        for incident_id, notification in latest.items():
            receipt = self.lane.receipt_of(incident_id)
            if receipt is None or receipt.intent != name:
                fresh.append(intended(receipt, notification, self.lane.name, name, self.now_ms))
        if fresh and not self.lane.keep(fresh):
            raise Closing

    def _show(self, work: Work, new: Mapping[str, Receipt], joining: Sequence[Notification]) -> None:
        digest = work.digest
        changed = any(digest.members.get(i) is None or digest.members[i].version < new[i].version for i in new)
        if not changed and not digest.is_stale and digest.message is not None:
            return
        for notification in joining:
            digest.mentions |= dict.fromkeys(notification.mentions)
        members = {**digest.members, **new}
        message = self.receiver.write_digest(digest.shown(members.values()), digest.look_first)
        with self.lane.lock:
            self.digests.written(work, message, members, self.now)

    def _settle(self, work: Work, new: Mapping[str, Receipt]) -> None:
        if not new or work.digest.message is None:
            return
        final = {i: _placed(receipt, work.digest.message) for i, receipt in new.items()}
        if not self.lane.keep(list(final.values())):
            raise Closing
        # One object for each: the lane keeps it, too.
        items = [item for item in work.items if item.notification.incident.incident_id in final]
        with self.lane.lock:
            work.digest.members.update(final)
            self.digests.settled(work, items)
        self.lane.has_settled(items, final)

    def _tell_over(self, work: Work) -> None:
        digest = work.digest
        if digest.told_over or not digest.members or not is_over(digest):
            return
        shown = digest.shown(digest.members.values())
        name = f"{OVER}{digest.digest_id[1:]}-{len(digest.members)}"
        notice = Notice(name, began_ms(name), Action.RESOLVE, tuple(shown.members))
        self.receiver.write_notice(shown, notice, True)
        digest.told_over = True

    def _attach(self, work: Work, receipt: Receipt, notes: Sequence[Notification]) -> Receipt:
        """Posts the notes of one incident that are not there yet; its receipt with them."""
        for notification in notes:
            version = notification.incident.version
            if version <= receipt.noted:
                continue
            name = note_name(notification)
            notice = Notice(name, began_ms(name), Action.ANNOTATE, (receipt,), note=notification.note)
            shown = work.digest.shown(work.digest.members.values())
            self.receiver.write_notice(shown, notice, True)
            receipt = msgspec.structs.replace(receipt, noted=version)
        return receipt

    def _notify(self, work: Work, action: Action, called: Mapping[str, Receipt]) -> None:
        """Posts the notices of one kind: those that a forerunner or an attempt intended, by their names, and one for
        the rest."""
        notices: dict[str, dict[str, Receipt]] = {}
        fresh_id = new_id(NOTICES[action], self.now_ms)
        for incident_id, receipt in called.items():
            known = self.lane.receipt_of(incident_id)
            was_intended = known is not None and known.intent.startswith(NOTICES[action])
            name = known.intent if known is not None and was_intended else fresh_id
            notices.setdefault(name, {})[incident_id] = receipt
        latest = work.latest()
        for name, members in notices.items():
            if name == fresh_id:
                self._intend_notice(work, members, name)
            calls = dict.fromkeys(person for i in members for person in latest[i].mentions)
            notice = Notice(name, began_ms(name), action, tuple(members.values()), tuple(calls)[:MENTIONS_LIMIT])
            digest = work.digest.shown(work.digest.members.values())
            self.receiver.write_notice(digest, notice, name != fresh_id)
            self._settle(work, members)

    def _intend_notice(self, work: Work, members: Mapping[str, Receipt], name: str) -> None:
        """Makes durable that the digest shows these, and that a notice of this name is about to tell of them: what is
        delivered of them is still what was before."""
        message = work.digest.message
        assert message is not None
        fresh = []
        for incident_id, receipt in members.items():
            before = self.lane.receipt_of(incident_id)
            version, up_to = (0, 0) if before is None else (before.version, alerted(before))
            placed = _placed(receipt, message)
            fresh.append(msgspec.structs.replace(placed, version=version, alerted=up_to, intent=name))
        if not self.lane.keep(fresh):
            raise Closing


def _placed(receipt: Receipt, message: Delivered) -> Receipt:
    return msgspec.structs.replace(receipt, message_id=message.message_id, channel=message.channel)


def _calls(actions: set[Action], joins: bool, posts: bool) -> Action | None:
    """Of what an incident needs a notice. One that joins is told by the digest itself; where that is only edited, an
    escalation is still to alert."""
    if Action.ESCALATE in actions and not (joins and posts):
        return Action.ESCALATE
    return Action.REPEAT if Action.REPEAT in actions and not joins else None
