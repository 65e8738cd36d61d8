"""What a mail about an incident looks like: headers that make one thread, a part of text and one of HTML.

Pure. Log text is escaped in HTML by the template, and quoted-printable keeps every line within SMTP's 998 bytes. No
text can make a header: control characters are taken out, what the `email` package would decode as an encoded word
(RFC 2047) is none any more, and the package refuses what is left of them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address, HeaderRegistry, MessageIDHeader
from email.message import EmailMessage
from email.policy import SMTP
from functools import lru_cache

import msgspec
from jinja2 import Environment, Template

from streaming import decoding
from streaming.alerting.messages import Action, Incident, IncidentState, Notification, Receipt, Severity
from streaming.alerting.receivers.facts import (
    Pages,
    clean,
    facts,
    headline,
    is_told_anew,
    iso,
    links,
    log_text,
    no_pages,
    shown_time,
    state_word,
)
from streaming.alerting.text import one_line


def _headers() -> HeaderRegistry:
    """Ids are written as they are: the package knows that of Message-ID alone, and would encode a long one else."""
    registry = HeaderRegistry()
    for name in ("in-reply-to", "references"):
        registry.map_to_type(name, MessageIDHeader)  # type: ignore[arg-type]  # typeshed has it as a mixin
    return registry


POLICY = SMTP.clone(header_factory=_headers())

SUBJECT_LIMIT = 180
COPIES_LIMIT = 50
"""People beside the recipients who hear of one incident, the latest called."""

TEXT_LIMIT = 20_000
"""Characters of a log's text or a rule's in a mail; both are cut to 2,000 before they come here."""

_COLOURS = {
    Severity.CRITICAL: "#b3261e",
    Severity.ERROR: "#b3261e",
    Severity.WARNING: "#8a5a00",
    Severity.INFO: "#1f5fa8",
}
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,200}@[!-;=?-~]{1,253}>")
_RESOLVED_COLOUR = "#1e7d34"

_HTML = """\
<!doctype html>
<html><head><meta charset="utf-8"></head>
<body style="font-family: sans-serif; font-size: 14px; color: #222">
<h2 style="font-size: 16px; color: {{ colour }}; margin: 0 0 12px">{{ headline }}</h2>
{% if note %}<p style="white-space: pre-wrap; word-break: break-word; border-left: 3px solid #999; \
padding-left: 8px">{{ note }}</p>
{% endif %}\
{% if text %}<p style="white-space: pre-wrap">{{ text }}</p>
{% endif %}{% if log %}\
<pre style="white-space: pre-wrap; word-break: break-word; background: #f4f4f4; padding: 8px">{{ log }}</pre>
{% endif %}<table style="border-collapse: collapse; font-size: 13px">
{% for name, value in facts %}\
<tr><td style="color: #666; padding: 1px 16px 1px 0; vertical-align: top">{{ name }}</td><td>{{ value }}</td></tr>
{% endfor %}</table>
{% if links %}<p>{% for text, address in links %}<a href="{{ address }}">{{ text }}</a>&ensp;{% endfor %}</p>
{% endif %}</body></html>
"""


class BadAddress(ValueError):
    """An address is none, or needs what few servers take."""


class Thread(msgspec.Struct):
    """What a receipt keeps of an incident's mails: their common subject, since some programs make a thread only of
    equal ones, and who got a copy, being on call: whoever was called hears that it is over, too."""

    subject: str = ""
    copies: list[str] = []


def kept_of(message: EmailMessage) -> str:
    """What the receipt of a mail keeps for the next one."""
    copies = [address.addr_spec for address in message["Cc"].addresses] if message["Cc"] else []
    return msgspec.json.encode(Thread(str(message["Subject"]), copies)).decode()


def thread_of(receipt: Receipt | None) -> Thread:
    """What was mailed before; nothing, where the receipt says nothing that can be read."""
    try:
        return decoding.decode(receipt.channel or "{}", Thread) if receipt is not None else Thread()
    except (msgspec.MsgspecError, UnicodeEncodeError):
        return Thread()


def is_mailed(notification: Notification, receipt: Receipt | None) -> bool:
    """Whether it is worth a mail: of updates those whose severity rose, which somebody acknowledged or gave back; notes
    but for those of what is muted."""
    state = notification.incident.state
    if notification.action is Action.ANNOTATE:
        return not notification.incident.muted_by
    if receipt is None or is_told_anew(notification, receipt):
        return is_told_anew(notification, receipt)
    was = receipt.state is IncidentState.ACKNOWLEDGED
    return (state is IncidentState.ACKNOWLEDGED and not was) or (state is IncidentState.FIRING and was)


def compose(
    notification: Notification,
    receipt: Receipt | None,
    sender: str,
    to: Sequence[str],
    on_call: Mapping[str, str],
    pages: Pages = no_pages,
    *,
    plain: bool = False,
) -> EmailMessage:
    """The mail, the same bytes for the same notification.

    `receipt` keeps the last mail's Message-ID and, as `channel`, what `kept_of` made of that mail. `on_call` are
    addresses by the names in `mentions`. `plain`: without HTML and without the log's text, for a server that does not
    take those.

    Raises:
        BadAddress: an address is none.
        ValueError: the package does not take what it says.
    """
    incident = notification.incident
    message = EmailMessage(policy=POLICY)
    message["From"] = address_of(sender, f"Vigil {state_word(incident)}")
    message["To"] = [address_of(address) for address in to]
    thread = thread_of(receipt)
    copies = [*thread.copies, *(on_call[name] for name in notification.mentions if name in on_call)]
    others = [address for address in dict.fromkeys(copies) if address not in to][-COPIES_LIMIT:]
    if others:
        message["Cc"] = [address_of(address) for address in others]
    message["Subject"] = header_text(thread.subject, SUBJECT_LIMIT + 50) or subject_of(incident)
    identify(message, message_id(notification, receipt, sender), notification.created_ms)
    first = root_id(incident, sender)
    if message["Message-ID"] != first:
        known = receipt.message_id if receipt is not None else None
        last = known if known and _MESSAGE_ID.fullmatch(known) else first
        message["In-Reply-To"] = last
        message["References"] = first
    if incident.severity is Severity.CRITICAL and incident.state is IncidentState.FIRING:
        message["Importance"] = "high"
    message["X-Vigil-Incident"] = header_text(incident.incident_id, 100)
    message["X-Vigil-Rule"] = header_text(incident.rule_id, 100)
    message["X-Vigil-Action"] = notification.action.value
    message["X-Vigil-Severity"] = incident.severity.value
    message["X-Vigil-State"] = incident.state.value
    message.set_content(text_of(notification, pages, plain=plain), cte="quoted-printable")
    if not plain:
        message.add_alternative(html_of(notification, pages), subtype="html", cte="quoted-printable")
        message.set_boundary(hashlib.sha256(str(message["Message-ID"]).encode()).hexdigest()[:32])
    return message


def compose_alive(at_ms: int, every_s: float, sender: str, to: Sequence[str]) -> EmailMessage:
    """A sign of life, in a thread of its own.

    Raises:
        BadAddress: an address is none.
    """
    message = EmailMessage(policy=POLICY)
    message["From"] = address_of(sender, "Vigil")
    message["To"] = [address_of(address) for address in to]
    message["Subject"] = "Vigil is alive"
    identify(message, f"<vigil.alive.{at_ms}@{domain_of(sender)}>", at_ms)
    message["References"] = f"<vigil.alive@{domain_of(sender)}>"
    message["X-Vigil-Action"] = "alive"
    text = f"Vigil's alert path works ({shown_time(at_ms)}). The next sign follows within {every_s:g} s.\n"
    message.set_content(text, cte="quoted-printable")
    return message


def subject_of(incident: Incident) -> str:
    """Title and id, one line."""
    title = header_text(incident.title, SUBJECT_LIMIT) or header_text(incident.rule_id, SUBJECT_LIMIT)
    return f"{title} [{header_text(incident.incident_id, 40)}]"


def root_id(incident: Incident, sender: str) -> str:
    """The Message-ID of an incident's first mail, which all others refer to."""
    return f"<vigil.{_id_part(incident.incident_id)}@{domain_of(sender)}>"


def message_id(notification: Notification, receipt: Receipt | None, sender: str) -> str:
    """The same for the same notification, so that servers and programs that know a Message-ID twice show one mail."""
    incident = notification.incident
    if notification.action is Action.OPEN and receipt is None:
        return root_id(incident, sender)
    version = f"{incident.reopened}.{incident.version}.{notification.action.value}"
    return f"<vigil.{_id_part(incident.incident_id)}.{version}@{domain_of(sender)}>"


def domain_of(address: str) -> str:
    """What follows the @."""
    return address.rpartition("@")[2]


def text_of(notification: Notification, pages: Pages = no_pages, *, plain: bool = False) -> str:
    """The part that every mail program shows."""
    incident = notification.incident
    width = max(len(name) for name, _ in facts(notification))
    parts = [
        clean(headline(incident)),
        _note_of(notification),
        "" if plain else clean(incident.text[:TEXT_LIMIT]),
        "" if plain else "\n".join(f"  {line}" for line in clean(log_text(incident)[:TEXT_LIMIT]).splitlines()),
        "\n".join(f"{name:<{width}}  {one_line(value, 300)}" for name, value in facts(notification)),
        "\n".join(f"{text}: {address}" for text, address in links(incident, pages)),
    ]
    return "\n\n".join(part for part in parts if part.strip()) + "\n"


def html_of(notification: Notification, pages: Pages = no_pages) -> str:
    """The same as HTML: no scripts, nothing that is fetched, every text escaped by the template."""
    incident = notification.incident
    resolved = incident.state is IncidentState.RESOLVED
    return _template().render(
        colour=_RESOLVED_COLOUR if resolved else _COLOURS[incident.severity],
        headline=clean(headline(incident)),
        note=_note_of(notification),
        text=clean(incident.text[:TEXT_LIMIT]),
        log=clean(log_text(incident)[:TEXT_LIMIT]),
        facts=[(name, one_line(value, 300)) for name, value in facts(notification)],
        links=[(text, clean(address)) for text, address in links(incident, pages)],
    )


def _note_of(notification: Notification) -> str:
    note = notification.note
    return "" if note is None else f"Note by {one_line(note.author, 100)}:\n\n{clean(note.text)}"


def identify(message: EmailMessage, identity: str, created_ms: int) -> None:
    """Gives it its Message-ID and its date, and says that a machine wrote it."""
    message["Message-ID"] = identity
    message["Date"] = datetime.strptime(iso(created_ms), "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    # Holiday notices and mailing lists leave such mail alone.
    message["Auto-Submitted"] = "auto-generated"


def header_text(text: str, limit: int) -> str:
    """Text of others as the value of a header. The package decodes encoded words also in values that are set, and with
    them line ends that make headers: `=?` never stands in one."""
    return one_line(text, limit).replace("=?", "= ?")


def address_of(text: str, display_name: str = "") -> Address:
    """An address for From, To or Cc.

    Raises:
        BadAddress: it is none, or needs what few servers take.
    """
    try:
        text.encode("ascii")  # other characters need SMTPUTF8, which few servers take
        return Address(display_name, addr_spec=text)
    except (ValueError, MessageError) as error:
        raise BadAddress(one_line(str(error), 200)) from error


def _id_part(text: str) -> str:
    """What may stand in a Message-ID: incident ids are letters and digits, whoever made this one."""
    return "".join(c for c in text if c.isascii() and c.isalnum())[:64]


@lru_cache(maxsize=1)
def _template() -> Template:
    return Environment(autoescape=True).from_string(_HTML)
