"""The context as text: short enough for a note, or whole. Pure.

Lines of logs and of what else was found begin with four blanks: receivers show those as they stand (`messages.Note`),
each by its own means against what a log may say. Every one is one line without control characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from streaming.alerting.context.model import Context, Deed, Found, LogLine, NodeLine, Related, began_ms
from streaming.alerting.messages import NOTE_LIMIT
from streaming.alerting.receivers.facts import shown_time
from streaming.alerting.text import one_line

INDENT = "    "
NOTE_LINE = 160
"""Characters of a line in a note: what a screen shows in one or two."""
WHOLE_LINE, WHOLE_LIMIT = 1_000, 200_000
AWAY_LIMIT = 200

_FIRST_MS, _LAST_MS = 0, 253_402_300_799_000


@dataclass
class _Section:
    """`lines` are in order of weight where `latest_last` is false, else of time; what does not fit is taken from the
    end that weighs less."""

    title: str
    lines: list[str]
    away: str = ""
    latest_last: bool = True
    left_out: int = 0

    def shorten(self) -> None:
        self.lines.pop(0 if self.latest_last else -1)
        self.left_out += 1

    def text(self) -> str:
        more = f"{INDENT}… {self.left_out} more" if self.left_out else ""
        head, tail = ([more], []) if self.latest_last else ([], [more])
        away = f"(not known: {self.away})" if self.away else ""
        body = [line for line in (*head, *self.lines, *tail) if line]
        return "\n".join([self.title, *body, *([away] if away else [])])


def note_of(context: Context, closing: str = "") -> str:
    """What fits into a note (`NOTE_LIMIT`), the latest logs first of all; `closing` is its last line."""
    return _fitted(context, NOTE_LINE, NOTE_LIMIT, closing)


def whole_text(context: Context) -> str:
    """All of it, for a page or a log: some 200 lines at most."""
    return _fitted(context, WHOLE_LINE, WHOLE_LIMIT, "")


def _fitted(context: Context, line_limit: int, room: int, closing: str) -> str:
    opening, last = _opening(context), [_runbook(context, 2 * line_limit), one_line(closing, 2 * NOTE_LINE)]
    sections = _sections(context, line_limit)
    while len(text := _joined(opening, sections, last)) > room:
        # The longest gives way, so that no section is lost for another.
        longest = max(sections, key=lambda section: len(section.lines))
        if not longest.lines:
            break
        longest.shorten()
    return text[:room]


def _joined(opening: str, sections: Sequence[_Section], closing: Sequence[str]) -> str:
    parts = [opening, *(section.text() for section in sections), *closing]
    return "\n\n".join(part for part in parts if part)


def _opening(context: Context) -> str:
    return f"What was found around it, as of {shown_time(context.gathered_ms)}; all times are UTC."


def _runbook(context: Context, limit: int) -> str:
    runbook = context.incident.runbook
    return f"Run book: {one_line(runbook, limit)}" if runbook else ""


def _sections(context: Context, limit: int) -> list[_Section]:
    incident, day = context.incident, _day(began_ms(context.incident))
    sample = incident.sample
    place = " on ".join(one_line(name, 80) for name in (sample.service, sample.node_id) if name) or "its service"
    made = [
        _of_logs(f"Last logs of {place} until it opened", context.logs, day, limit),
        _Section(
            "Done to the platform in the hours before and since",
            [_deed(deed, day, limit) for deed in context.deeds.items],
            _away(context.deeds),
        ),
        _Section("Nodes", [_node(node, day, limit) for node in context.nodes.items], _away(context.nodes), False),
        _Section(
            "Other open incidents",
            [_related(other, day, limit) for other in context.related.items],
            _away(context.related),
            False,
        ),
    ]
    if sample.trace_id:
        title = f"More logs of its trace {one_line(sample.trace_id, 40)}"
        made.insert(1, _of_logs(title, context.trace, day, limit))
    for section in made:
        if not section.lines and not section.away:
            section.lines = [f"{INDENT}none"]
    return made


def _of_logs(title: str, found: Found[LogLine], day: str, limit: int) -> _Section:
    by = f" ({one_line(found.by, AWAY_LIMIT)})" if found.by else ""
    return _Section(f"{title}{by}", [_log(line, day, limit) for line in found.items], _away(found))


def _away(found: Found[LogLine] | Found[Deed] | Found[NodeLine] | Found[Related]) -> str:
    return one_line(found.away, AWAY_LIMIT)


def _log(line: LogLine, day: str, limit: int) -> str:
    place = "/".join(one_line(name, 60) for name in (line.service, line.node) if name)
    return _line(f"{_clock(line.at_ms, day, millis=True)} {line.level:<5} {place}  {line.text}", limit)


def _deed(deed: Deed, day: str, limit: int) -> str:
    return _line(f"{_clock(deed.at_ms, day)} {deed.what}" + (f" ({deed.by})" if deed.by else ""), limit)


def _node(node: NodeLine, day: str, limit: int) -> str:
    silent = f", silent for {node.silent_ms / 1000:.0f} s" if node.silent_ms is not None else ""
    reason = f": {node.reason}" if node.reason else ""
    return _line(f"{node.node_id} {node.state} since {_clock(node.since_ms, day)}{silent}{reason}", limit)


def _related(other: Related, day: str, limit: int) -> str:
    about = f"{other.incident_id} {other.severity} {other.state} since {_clock(other.opened_ms, day)}"
    return _line(f"{about} ({other.why}): {other.title}", limit)


def _line(text: str, limit: int) -> str:
    return INDENT + one_line(text, limit - len(INDENT))


def _day(at_ms: int) -> str:
    return _moment(at_ms)[:10]


def _clock(at_ms: int, day: str, *, millis: bool = False) -> str:
    """The time of day; with the date where that is another than the incident's."""
    moment = _moment(at_ms)
    clock = moment[11:23] if millis else moment[11:19]
    return clock if moment[:10] == day else f"{moment[:10]} {clock}"


def _moment(at_ms: int) -> str:
    at = datetime.fromtimestamp(min(_LAST_MS, max(_FIRST_MS, at_ms)) / 1000, UTC)
    return at.replace(tzinfo=None).isoformat(timespec="milliseconds")
