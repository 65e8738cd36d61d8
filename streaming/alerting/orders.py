"""Everything that people can order of the alert manager, and what they ask it: for the command line, a page, a button.

    orders = Orders(load_settings())
    orders.acknowledge("L7WRB3TS47", author="ann", reason="restarting the database")
    silence = orders.silence([parse_matcher("service.name=payment")], author="ann", for_s=7_200, reason="migration")
    orders.unsilence(silence.silence_id, author="ann")

Whoever calls says who orders it: Vigil writes that down (`audit`), and does not check it.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Sequence

import msgspec

from streaming.alerting.commands import obeyed, read_audit, send_commands
from streaming.alerting.incidents.notes import fault_of, trimmed
from streaming.alerting.messages import (
    DONE,
    NO_SUCH_INCIDENT,
    NO_SUCH_SILENCE,
    AuditEntry,
    Command,
    Incident,
    Matcher,
    Order,
    Silence,
)
from streaming.alerting.muting.matchers import Conditions
from streaming.alerting.state import read_incidents
from streaming.errors import VigilError
from streaming.kafka import topics
from streaming.kafka.compacted import read_all, readable
from streaming.settings import Settings

ID_LENGTH = 10
"""Characters of the id of an incident or a silence: letters and digits of base 32."""
WAIT_S = 5.0
"""The manager obeys within some 10 ms; its standby takes over within 5 s."""


class UnknownIncident(VigilError):
    """There is no incident of this id, or more than one whose id begins so."""


class UnknownSilence(VigilError):
    """The same of a silence."""


class InvalidSilence(VigilError):
    """A silence that cannot be made; the text says why."""

    exit_code = 64  # EX_USAGE of sysexits.h


class InvalidNote(VigilError):
    """A note that no incident takes; the text says why."""

    exit_code = 64  # EX_USAGE of sysexits.h


class NothingDone(VigilError):
    """The manager has read the order and changed nothing. `entry.outcome` says why: it is resolved already."""

    def __init__(self, entry: AuditEntry) -> None:
        self.entry = entry
        super().__init__(f"{entry.target}: nothing done: {entry.outcome}")


class NotYetObeyed(VigilError):
    """Kafka has the order, but no manager has obeyed it in the time that was waited: it will, when one works."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h

    def __init__(self, command: Command, wait_s: float) -> None:
        self.command = command
        super().__init__(
            f"Kafka has the order, but the manager has not obeyed it within {wait_s:g} s; it will when it works "
            "again. `vigil status` shows it"
        )


class Orders:
    """Orders are obeyed in the order in which they were given, each once, also by a manager that is only started later.

    Each method that orders returns the entry of the audit that says what came of it. With `wait_s` 0 it returns when
    Kafka has the order, and the entry's `outcome` is empty. Holds no connection; may be used by several threads.

    Raises (every method): Unavailable, where Kafka does not answer. Methods that order: NothingDone, where the order
    fits no longer, NotYetObeyed, where no manager obeyed in time.
    """

    def __init__(self, settings: Settings, wait_s: float = WAIT_S) -> None:
        self._settings, self._wait_s = settings, wait_s

    def acknowledge(self, incident_id: str, *, author: str, reason: str = "") -> AuditEntry:
        """Somebody has taken it: it stays open, is not told again, and does not escalate.

        Raises:
            UnknownIncident: there is none of this id.
        """
        return self._of_one(Order.ACKNOWLEDGE, incident_id, author, reason)

    def unacknowledge(self, incident_id: str, *, author: str, reason: str = "") -> AuditEntry:
        """Nobody has it any more: it fires again, and its escalation begins anew.

        Raises:
            UnknownIncident: there is none of this id.
        """
        return self._of_one(Order.UNACKNOWLEDGE, incident_id, author, reason)

    def resolve(self, incident_id: str, *, author: str, reason: str = "") -> AuditEntry:
        """It is over. If what it fires for goes on, it reopens.

        Raises:
            UnknownIncident: there is none of this id.
        """
        return self._of_one(Order.RESOLVE, incident_id, author, reason)

    def annotate(self, incident_id: str, text: str, *, author: str, reason: str = "", note_id: str = "") -> AuditEntry:
        """Attaches a note to an incident, also to one that is resolved and not yet forgotten: an entry of its history,
        and a reply in its thread where people were told of it. State and alerts stay as they are.

        `note_id`: an incident takes a note of one id once. Who gives one may order again after an unknown outcome:
        NothingDone with the outcome `HAS_NOTE` says that the note is there.

        Raises:
            UnknownIncident: there is none of this id.
            InvalidNote: it is empty, or too long.
        """
        if fault := fault_of(text, note_id):
            raise InvalidNote(fault)
        return self._of_one(Order.ANNOTATE, incident_id, author, reason, note=trimmed(text), note_id=note_id)

    def silence(
        self,
        matchers: Sequence[Matcher],
        *,
        author: str,
        reason: str = "",
        for_s: float | None = None,
        ends_ms: int | None = None,
        starts_ms: int | None = None,
        silence_id: str | None = None,
    ) -> Silence:
        """Nobody is told of incidents that fit all matchers, from `starts_ms` (none: now) on for `for_s` seconds or
        until `ends_ms`. With the id of a silence that is not over, that one is changed.

        Raises:
            InvalidSilence: it cannot be made; the text says why.
        """
        if (for_s is None) == (ends_ms is None):
            raise InvalidSilence("a silence has a length or an end: give one of them")
        now_ms = time.time_ns() // 1_000_000
        begins_ms = now_ms if starts_ms is None else starts_ms
        silence = Silence(
            silence_id=silence_id or _new_id(),
            matchers=tuple(matchers),
            starts_ms=begins_ms,
            ends_ms=begins_ms + round(for_s * 1000) if ends_ms is None and for_s is not None else ends_ms or 0,
            author=author,
            reason=reason,
            created_ms=now_ms,
        )
        try:
            Conditions(matchers)
            entry = self._done(self._command(Order.SILENCE, author, reason, silence=silence))
        except ValueError as error:
            raise InvalidSilence(str(error)) from error
        except NothingDone as refused:
            raise InvalidSilence(refused.entry.outcome) from refused
        return entry.silence or silence

    def silence_incident(self, incident_id: str, *, author: str, reason: str = "", for_s: float) -> Silence:
        """Silences what one incident is about, its rule and group: also when it resolves and comes back.

        Raises:
            UnknownIncident: there is none of this id.
            InvalidSilence: it cannot be made; the text says why.
        """
        key = self.incident(incident_id).incident_key
        return self.silence([Matcher(name="incident", op="=", value=key)], author=author, reason=reason, for_s=for_s)

    def unsilence(self, silence_id: str, *, author: str, reason: str = "") -> AuditEntry:
        """Ends a silence now: what it muted and still goes on is told.

        Raises:
            UnknownSilence: there is none of this id.
        """
        found = self.silence_of(silence_id).silence_id
        try:
            return self._done(self._command(Order.UNSILENCE, author, reason, silence_id=found))
        except NothingDone as nothing:
            if nothing.entry.outcome == NO_SUCH_SILENCE:
                raise UnknownSilence(_no_such("silence", silence_id)) from nothing
            raise

    def all_of(self, order: Order, incident_ids: Sequence[str], *, author: str, reason: str = "") -> list[AuditEntry]:
        """The same order of several incidents at once. Raises neither NothingDone nor NotYetObeyed: the `outcome` of
        each says what came of it, and is empty where nothing has yet.

        Raises:
            UnknownIncident: an id is none; nothing was ordered.
        """
        whole = self._whole_ids(incident_ids)
        return self._given([self._command(order, author, reason, incident_id=found) for found in whole])

    def incidents(self) -> list[Incident]:
        """All that are not forgotten, the latest opened first; resolved ones are for ten minutes."""
        return read_incidents(self._settings)

    def incident(self, incident_id: str) -> Incident:
        """One by its id or the beginning of it.

        Raises:
            UnknownIncident: there is none, or more than one.
        """
        found = [i for i in self.incidents() if i.incident_id.startswith(incident_id.upper())]
        if len(found) != 1:
            raise UnknownIncident(_no_such("incident", incident_id, len(found)))
        return found[0]

    def silences(self) -> list[Silence]:
        """All that are in force, to come, or were over less than a day ago, by their start."""
        records = read_all(self._settings, topics.SILENCES)
        found = readable(records, Silence, topics.SILENCES, "orders").values()
        return sorted(found, key=lambda silence: (silence.starts_ms, silence.silence_id))

    def silence_of(self, silence_id: str) -> Silence:
        """One by its id or the beginning of it.

        Raises:
            UnknownSilence: there is none, or more than one.
        """
        found = [s for s in self.silences() if s.silence_id.upper().startswith(silence_id.upper())]
        if len(found) != 1:
            raise UnknownSilence(_no_such("silence", silence_id, len(found)))
        return found[0]

    def audit(self, since_ms: int = 0) -> list[AuditEntry]:
        """Who ordered what from this time on, and what came of it, the eldest first; Kafka keeps 90 days of it."""
        return read_audit(self._settings, since_ms)

    # ------------------------------------------------------------------------------------------- within

    def _of_one(
        self, order: Order, incident_id: str, author: str, reason: str, *, note: str = "", note_id: str = ""
    ) -> AuditEntry:
        (whole,) = self._whole_ids([incident_id])
        command = self._command(order, author, reason, incident_id=whole)
        try:
            return self._done(msgspec.structs.replace(command, note=note, note_id=note_id))
        except NothingDone as nothing:
            if nothing.entry.outcome == NO_SUCH_INCIDENT:
                raise UnknownIncident(_no_such("incident", incident_id)) from nothing
            raise

    def _whole_ids(self, given: Sequence[str]) -> list[str]:
        """Ids that are whole are not looked up: with 100,000 incidents that takes seconds."""
        if all(map(_is_whole, given)):
            return [incident_id.upper() for incident_id in given]
        known = [incident.incident_id for incident in self.incidents()]
        whole = []
        for incident_id in given:
            found = [one for one in known if one.startswith(incident_id.upper())]
            if len(found) != 1:
                raise UnknownIncident(_no_such("incident", incident_id, len(found)))
            whole += found
        return whole

    def _command(
        self,
        order: Order,
        author: str,
        reason: str,
        *,
        incident_id: str | None = None,
        silence: Silence | None = None,
        silence_id: str | None = None,
    ) -> Command:
        return Command(
            order=order,
            author=author,
            at_ms=time.time_ns() // 1_000_000,
            incident_id=incident_id,
            reason=reason,
            silence=silence,
            silence_id=silence_id,
            order_id=secrets.token_hex(8),
        )

    def _done(self, command: Command) -> AuditEntry:
        (entry,) = self._given([command])
        if not entry.outcome and self._wait_s > 0:
            raise NotYetObeyed(command, self._wait_s)
        if entry.outcome not in ("", DONE):
            raise NothingDone(entry)
        return entry

    def _given(self, commands: Sequence[Command]) -> list[AuditEntry]:
        if self._wait_s > 0:
            answers = obeyed(self._settings, commands, self._wait_s)
        else:
            send_commands(self._settings, commands)
            answers = {}
        return [answers.get(command.order_id) or _unanswered(command) for command in commands]


def _unanswered(command: Command) -> AuditEntry:
    silence_id = command.silence_id or (command.silence.silence_id if command.silence else "")
    return AuditEntry(
        at_ms=command.at_ms,
        author=command.author,
        order=command.order,
        target=command.incident_id or silence_id,
        reason=command.reason,
        outcome="",
        order_id=command.order_id,
    )


def _new_id() -> str:
    return base64.b32encode(secrets.token_bytes(8)).decode()[:ID_LENGTH]


def _is_whole(given: str) -> bool:
    return len(given) == ID_LENGTH


def _no_such(what: str, given: str, found: int = 0) -> str:
    lists = "`vigil incidents --state all`" if what == "incident" else "`vigil silence list --all`"
    return f"{f'{found} {what}s' if found else f'no {what}'} with an id that begins with {given}; {lists} shows them"
