"""What a digest and its notices look like: totals, the first twenty incidents, where the rest are."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence

from streaming.alerting.messages import Action, IncidentState, Receipt, Severity
from streaming.alerting.receivers.base import Digest, Notice
from streaming.alerting.receivers.slack.elements import (
    ACKNOWLEDGE,
    RESOLVED_SIGN,
    SIGN,
    Block,
    button,
    context,
    section,
    sign_of,
)
from streaming.alerting.receivers.slack.mrkdwn import line, link, mentions
from streaming.alerting.receivers.slack.notes import note_text
from streaming.alerting.receivers.slack.view import View

SHOWN = 20
"""Incidents shown singly. 20 sections, and 5 blocks around them, of the 50 that Slack takes."""

LINE_LIMIT = 100
"""Characters of a title in a line. With a button a line takes some 400 characters of JSON, twenty of them 8,000, of the
13,000 that Slack takes of all blocks."""

RULES_SHOWN = 8
LISTED = 10
"""Incidents named in a notice."""

_WORST_FIRST = tuple(reversed(Severity))


def headline_of(digest: Digest) -> str:
    """In one line; also the text for phones."""
    total, resolved = len(digest.members), _resolved(digest.members)
    if resolved == total:
        return f"{RESOLVED_SIGN} RESOLVED: all {_incidents(total)} of a burst"
    worst = next(s for s in _WORST_FIRST if any(m.severity is s and not _is_over(m) for m in digest.members))
    return f"{SIGN[worst]} {_incidents(total)} at once"


def digest_blocks(digest: Digest, view: View) -> list[Block]:
    """The whole digest, as it is now."""
    names = mentions(digest.mentions, view.people)
    blocks = [section(f"*{headline_of(digest)}*" + (f"\n{names}" if names else "")), section(_totals(digest.members))]
    shown = _first(digest.members)
    for member in shown:
        blocks.append(_member(member, view))
    blocks.append(context(_rest(len(digest.members), len(shown), view)))
    return blocks


def notice_text(digest: Digest, notice: Notice, view: View, place: str) -> str:
    """A notice, in one section; `place` is the address of the digest's message, where it is not in its thread."""
    number, total = len(notice.members), len(digest.members)
    if notice.action is Action.RESOLVE:
        return f"{RESOLVED_SIGN} All {_incidents(total)} of this digest are resolved."
    if notice.note is not None:
        return note_text(notice.note, notice.members[0].incident_id, f" on {_named(notice.members[0], view)}")
    told = link(place, f"a digest of {total:,}") or f"a digest of {total:,}"
    of = f"{number:,} of {told}" if number > 1 or place else f"One of {told}"
    if notice.action is Action.ESCALATE:
        head = f":arrow_double_up: *ESCALATED:* {of}, not acknowledged."
    else:
        head = f":repeat: {of} still firing, not acknowledged."
    lines = [head, mentions(notice.mentions, view.people)]
    lines += [_named(member, view) for member in notice.members[:LISTED]]
    if number > LISTED:
        lines.append(f"… and {number - LISTED:,} more")
    return "\n".join(part for part in lines if part)


def _totals(members: Sequence[Receipt]) -> str:
    severities = Counter(member.severity for member in members)
    by_severity = " · ".join(f"{SIGN[s]} {severities[s]:,} {s.value}" for s in _WORST_FIRST if severities[s])
    rules = Counter(member.rule_id for member in members).most_common()
    by_rule = [f"`{line(rule, 80)}` {number:,}" for rule, number in rules[:RULES_SHOWN]]
    if len(rules) > RULES_SHOWN:
        rest = sum(number for _, number in rules[RULES_SHOWN:])
        by_rule.append(f"{len(rules) - RULES_SHOWN:,} more rules {rest:,}")
    acknowledged = sum(member.state is IncidentState.ACKNOWLEDGED for member in members)
    progress = f"*{_resolved(members):,} of {len(members):,} resolved*"
    if acknowledged:
        progress += f" · {acknowledged:,} acknowledged"
    return f"{progress}\n{by_severity}\nRules: {' · '.join(by_rule)}"


def _first(members: Sequence[Receipt]) -> list[Receipt]:
    """Those that want somebody most: what nobody has yet before what somebody has, and that before what is over; the
    worst first, then as they came."""
    order = {severity: rank for rank, severity in enumerate(_WORST_FIRST)}
    taken = {IncidentState.RESOLVED: 2, IncidentState.ACKNOWLEDGED: 1, IncidentState.SILENCED: 1}

    def urgency(member: Receipt) -> tuple[int, int]:
        return (0 if member.state is None else taken.get(member.state, 0), order[member.severity])

    return heapq.nsmallest(SHOWN, members, key=urgency)


def _member(member: Receipt, view: View) -> Block:
    block = section(_named(member, view))
    if view.buttons and member.state not in (IncidentState.RESOLVED, IncidentState.ACKNOWLEDGED):
        block["accessory"] = button("Acknowledge", ACKNOWLEDGE, member.incident_id)
    return block


def _named(member: Receipt, view: View) -> str:
    name = link(view.links.incident(member.incident_id), member.incident_id) or f"`{member.incident_id}`"
    return f"{sign_of(member.severity, member.state)} {line(member.title, LINE_LIMIT)} · {name}"


def _rest(total: int, shown: int, view: View) -> str:
    whole = link(view.links.incidents(), "The whole list")
    which = f"The {shown} worst of {total:,} are shown" if total > shown else "They came faster than one message each"
    places = f"{whole}, or `vigil incidents`" if whole else "All: `vigil incidents`"
    return f"{which} · {places} · one by one: `vigil ack ID`"


def _resolved(members: Sequence[Receipt]) -> int:
    return sum(_is_over(member) for member in members)


def _is_over(member: Receipt) -> bool:
    return member.state is IncidentState.RESOLVED


def _incidents(number: int) -> str:
    return "1 incident" if number == 1 else f"{number:,} incidents"
