"""What a note looks like in a thread: paragraphs as text, what is indented as code; all of it made harmless. A line
that is a word and an address is a link."""

from __future__ import annotations

import re
from itertools import groupby

from streaming.alerting.messages import Note
from streaming.alerting.receivers.slack.mrkdwn import escaped, line, link

SIGN = ":memo:"
TEXT_LIMIT = 3800
"""Characters of the reply, escaped, of the 4,000 that Slack shows."""

VERBATIM = "    "
"""What lines begin with that are shown as they stand."""

FENCE = "```"
_LINK_LINE = re.compile(r"([A-Z][A-Za-z ]{0,60}): (https?://\S+)")

SHORTEST = 20
"""Characters: what has less room left is not begun."""


def note_text(note: Note, incident_id: str, on: str = "") -> str:
    """The reply; `on` says of which incident, where the thread does not."""
    parts = [f"{SIGN} *Note by {line(note.author, 100)}*{on}"]
    rest = f"… the rest: `vigil incidents show {incident_id}`"
    room = TEXT_LIMIT - len(parts[0]) - len(rest) - 2
    for is_verbatim, lines in groupby(note.text.strip("\n").splitlines(), lambda line: line.startswith(VERBATIM)):
        shown, is_whole = _shown("\n".join(lines), room, verbatim=is_verbatim)
        parts.append(shown)
        room -= len(shown) + 1
        if not is_whole:
            parts.append(rest)
            break
    return "\n".join(part for part in parts if part.strip())


def _linked(text: str) -> str:
    """With links in the lines that say nothing else: `Run book: https://...`."""
    shown = []
    for one in text.split("\n"):
        found = _LINK_LINE.fullmatch(one)
        made = link(found[2], found[2]) if found is not None else ""
        shown.append(f"{found[1]}: {made}" if found is not None and made else escaped(one, 5 * len(one) + 1))
    return "\n".join(shown)


def _shown(text: str, room: int, *, verbatim: bool) -> tuple[str, bool]:
    """As much of it as there is room for, and whether that is all."""
    frame = 2 * len(FENCE) + 2 if verbatim else 0
    if room - frame < SHORTEST:
        return "", False
    if verbatim:
        text = "\n".join(line.removeprefix(VERBATIM) for line in text.split("\n"))
    if not verbatim and len(linked := _linked(text)) <= room:
        return linked, True
    shown = escaped(text, room - frame)
    is_whole = shown == escaped(text, 5 * len(text) + 1)
    return (f"{FENCE}\n{shown}\n{FENCE}" if verbatim else shown), is_whole
