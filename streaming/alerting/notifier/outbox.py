"""What is still to be told to one receiver: pure, with the clock passed in.

An incident's notifications go out in order. While one waits (for a rate limit, for a receiver that is away), later
ones of the same incident merge with it, so that a long wait ends in few messages which say how things are now. What
must alert stays something that alerts: an update merges into it, never the other way round. A note merges with
nothing: each is a reply of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import msgspec

from streaming.alerting.messages import Action, Notification
from streaming.kafka.offsets import Span

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 30.0
"""Waits double from the first to the longest: 1, 2, 4, ... 30 s. Nothing is ever given up."""

QUIET = frozenset({Action.UPDATE, Action.ANNOTATE})
"""Actions that edit what is there, or add to it, and alert nobody: where a receiver fails, they wait for it, and tell
nobody else."""

FRESH = frozenset({Action.OPEN, Action.REOPEN, Action.ESCALATE})
"""Actions that make a message of their own, which says how things are when it is sent."""


def backoff_s(failures: int) -> float:
    """How long to wait after so many failures in a row."""
    return min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 10))


@dataclass(eq=False)
class Item:
    """One message to be sent. `spans` are the records that it settles, `look_first` as receivers understand it."""

    notification: Notification
    spans: list[Span]
    look_first: bool = False
    attempts: int = 0
    not_before: float = 0.0
    tried: frozenset[str] = frozenset()
    """Receivers that failed to take it before it came here."""
    failing_since: float | None = None
    """When it first failed, for whatever reason; None: it has not been tried, or was only paced."""
    handed_on: bool = False
    """Others were told in this receiver's place, or there are none to tell: it only waits."""
    told_elsewhere: bool = False
    """Others were told: where its receiver is taken out of the rules, it has nothing left to say."""
    alerts: int = 0
    """Version of the last notification in it that must alert. What was meant for another receiver comes with an older
    one than what this receiver was told already, and must alert here all the same."""

    @property
    def is_note(self) -> bool:
        """Whether it only attaches a note."""
        return self.notification.action is Action.ANNOTATE

    def __post_init__(self) -> None:
        if self.notification.action not in QUIET:
            self.alerts = max(self.alerts, self.notification.incident.version)


@dataclass
class Outbox:
    """Items by incident, in order of arrival. Of one incident few wait: its message, and its resolution; beside what
    may have been sent already, and so cannot be merged with, and its notes (`NOTES_LIMIT`) with what lies between
    them."""

    waiting: dict[str, list[Item]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(items) for items in self.waiting.values())

    def __iter__(self) -> Iterator[Item]:
        return (item for items in self.waiting.values() for item in items)

    def add(self, notification: Notification, span: Span, *, look_first: bool) -> None:
        """Takes a notification in."""
        self.put(Item(notification, [span], look_first))

    def put(self, item: Item) -> None:
        """Takes an item in, behind what waits of its incident or into it."""
        _merge(self.waiting.setdefault(item.notification.incident.incident_id, []), item)

    def take(self, now: float) -> Item | None:
        """The item to send now, of the incident that waits longest; None: none is due.

        It is out of the outbox until `put_back`: what comes meanwhile does not merge into what is being sent.
        """
        for incident, items in self.waiting.items():
            if items[0].not_before <= now:
                item = items.pop(0)
                if not items:
                    del self.waiting[incident]
                return item
        return None

    def put_back(self, item: Item, not_before: float, *, unknown: bool) -> None:
        """It was not sent, as far as is known, and waits again; its incident goes to the back of the queue."""
        item.attempts += 1
        item.not_before = not_before
        item.look_first = item.look_first or unknown
        self.return_(item)

    def return_(self, item: Item) -> None:
        """Puts an item before what waits of its incident."""
        items = [item]
        for later in self.waiting.pop(item.notification.incident.incident_id, []):
            _merge(items, later)
        self.waiting[item.notification.incident.incident_id] = items

    def remove(self, items: list[Item]) -> None:
        """Takes these out: others have them now."""
        gone = set(map(id, items))
        for incident in {item.notification.incident.incident_id for item in items}:
            left = [item for item in self.waiting.get(incident, []) if id(item) not in gone]
            if left:
                self.waiting[incident] = left
            else:
                self.waiting.pop(incident, None)

    def next_at(self) -> float | None:
        """When something is due; None: nothing waits."""
        return min((items[0].not_before for items in self.waiting.values()), default=None)

    def clear(self) -> None:
        """Forgets everything: it is another notifier's now."""
        self.waiting.clear()


def _merge(items: list[Item], new: Item) -> None:
    """Puts a later item of one incident behind or into what waits of it."""
    last = items[-1] if items else None
    if last is None:
        items.append(new)
        return
    if new.is_note:
        _add_note(items, new)
        return
    if last.is_note and new.notification.incident.version <= last.notification.incident.version:
        # It was to come before the note, by way of another receiver: it may have to alert, which a note does not.
        note = items.pop()
        _merge(items, new)
        items.append(note)
        return
    then, action = last.notification.action, new.notification.action
    if new.notification.incident.version <= last.notification.incident.version:
        items[-1] = _with_earlier(last, new)
    elif action is Action.REOPEN and then is Action.RESOLVE and not (last.look_first or last.handed_on):
        # It resolved and came back while nobody was told of either: it is simply still there.
        still = _into(last, new, Action.UPDATE)
        items.pop()
        if items and not items[-1].is_note:
            before = items.pop()
            still = _into(before, still, before.notification.action)
        items.append(still)
    elif (merged := _merged(then, action, may_be_sent=last.look_first)) is not None:
        items[-1] = _into(last, new, merged)
    else:
        items.append(new)


def _add_note(items: list[Item], new: Item) -> None:
    """Puts a note behind what waits; one that waits already, in a record read twice, is the same."""
    for item in items:
        if item.is_note and item.notification.incident.version == new.notification.incident.version:
            item.spans, item.look_first = [*item.spans, *new.spans], item.look_first or new.look_first
            return
    items.append(new)


def _merged(then: Action, action: Action, *, may_be_sent: bool) -> Action | None:
    """What the one message does that stands for two, one after the other; None: it takes both."""
    if then in (Action.RESOLVE, Action.ANNOTATE):
        return None
    if action is Action.RESOLVE:
        # The resolution edits the message too: an update or a reminder before it has nothing left to say.
        return None if then in FRESH else Action.RESOLVE
    if action in (Action.UPDATE, Action.REPEAT):
        # A new message says by itself how things are; a reminder stays one.
        return then if then in FRESH or then is Action.REPEAT else action
    if action is Action.ESCALATE and not (then in FRESH and may_be_sent):
        # One new message that calls whoever either of them calls; unless the first may be there already, since then
        # it would be taken for the second, which would alert nobody.
        return Action.ESCALATE if then is not Action.REOPEN else Action.REOPEN
    return None


def _with_earlier(last: Item, new: Item) -> Item:
    """What waits, with one that was to come before it: by way of another receiver, or in a record read twice. It says
    nothing new; but where it must alert and nothing that waits does, that does now."""
    then, action = last.notification.action, new.notification.action
    if then is Action.RESOLVE or new.alerts <= last.alerts:
        action = then
    else:
        action = _merged(action, then, may_be_sent=False) or then
    merged = msgspec.structs.replace(last.notification, action=action)
    calls = dict.fromkeys((*new.notification.mentions, *merged.mentions))
    return replace(
        last,
        notification=merged
        if action is then
        else msgspec.structs.replace(merged, mentions=tuple(calls), fallback=new.notification.fallback),
        spans=[*last.spans, *new.spans],
        look_first=last.look_first or new.look_first,
        tried=last.tried | new.tried,
        alerts=max(last.alerts, new.alerts),
    )


def _into(last: Item, new: Item, action: Action) -> Item:
    calls = dict.fromkeys((*last.notification.mentions, *new.notification.mentions))
    merged = Notification(
        action=action,
        incident=new.notification.incident,
        created_ms=min(last.notification.created_ms, new.notification.created_ms),
        receivers=new.notification.receivers,
        fallback=new.notification.fallback,
        mentions=() if action is Action.RESOLVE else tuple(calls),
    )
    return Item(
        merged,
        [*last.spans, *new.spans],
        last.look_first or new.look_first,
        last.attempts,
        last.not_before,
        last.tried | new.tried,
        last.failing_since,
        last.handed_on and new.notification.action in QUIET,
        alerts=max(last.alerts, new.alerts),
    )
