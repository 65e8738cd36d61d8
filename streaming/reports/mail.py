"""Mails a report: a few lines of text, the HTML and the PDF attached, by the server of a receiver of the rule files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.message import EmailMessage

from streaming.alerting.receivers.base import Undelivered
from streaming.alerting.receivers.email import EmailReceiver, composing
from streaming.alerting.receivers.email_parts import POLICY, address_of, domain_of, header_text, identify
from streaming.alerting.rules import routes
from streaming.alerting.rules.loading import load_rules
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.rules.source import last_good
from streaming.alerting.secrets import resolve
from streaming.errors import ConfigError, Unavailable, VigilError
from streaming.reports import shown
from streaming.reports.model import Report
from streaming.reports.store import HTML, PDF
from streaming.reports.view import summary, title
from streaming.settings import Settings

SUBJECT_LIMIT = 180

_KINDS = {HTML: ("text", "html"), PDF: ("application", "pdf")}


def mail_report(settings: Settings, report: Report, files: Mapping[str, bytes]) -> list[str] | None:
    """Mails it; returns to whom, or None where nobody set up mail for reports.

    Raises:
        ConfigError: there is no such receiver, or it is of another kind, or its secret cannot be read, or an address is
            none, or the server does not let it in.
        Unavailable: the server, or Kafka, does not answer. The mail may have been taken all the same.
        VigilError: the server refuses the mail.
    """
    if not settings.report_mail_receiver:
        return None
    config = receiver_of(settings, last_good(settings) or load_rules(settings.rules_path))
    recipients = recipients_of(settings, config)
    password = None if config.password is None else resolve(config.password, config.name)
    receiver = EmailReceiver(config, password=password)
    try:
        with composing():
            message = compose(report, files, config.sender, recipients)
        receiver.send(message)
    except Undelivered as failure:
        raise _explained(failure, config) from failure
    return recipients


def receiver_of(settings: Settings, rules: RuleSet) -> routes.EmailReceiver:
    """The receiver whose server is used.

    Raises:
        ConfigError: there is none of that name, or it is of another kind.
    """
    name, field = settings.report_mail_receiver, settings.variable("report_mail_receiver")
    mailing = [config.name for config in rules.receivers if isinstance(config, routes.EmailReceiver)]
    there_are = f"There are: {', '.join(mailing)}" if mailing else "Add one to the rule files (docs/receivers.md)"
    for config in rules.receivers:
        if config.name == name:
            if isinstance(config, routes.EmailReceiver):
                return config
            raise ConfigError(f"receiver {name} is of kind {config.kind}, not email", field=field, remedy=there_are)
    raise ConfigError(f"the rules in force have no receiver {name!r}", field=field, remedy=there_are)


def recipients_of(settings: Settings, config: routes.EmailReceiver) -> list[str]:
    """To whom reports go."""
    named = [address.strip() for address in settings.report_mail_to.split(",")]
    return [address for address in named if address] or list(config.to)


def compose(report: Report, files: Mapping[str, bytes], sender: str, recipients: Sequence[str]) -> EmailMessage:
    """The mail. A report that is built again is another mail in the same thread.

    Raises:
        BadAddress: an address is none.
        ValueError: the package does not take what it says.
    """
    message = EmailMessage(policy=POLICY)
    message["From"] = address_of(sender, "Vigil")
    message["To"] = [address_of(address) for address in recipients]
    errors = shown.many(report.total.now.errors, "error")
    message["Subject"] = header_text(f"{title(report)}: {errors}", SUBJECT_LIMIT)
    root = f"<vigil.report.{report.id}@{domain_of(sender)}>"
    identify(message, f"<vigil.report.{report.id}.{report.shown_ms}@{domain_of(sender)}>", report.shown_ms)
    message["References"] = root
    message["X-Vigil-Report"] = report.id
    message.set_content(summary(report) + "\nThe whole report is attached.\n", cte="quoted-printable")
    for name, content in files.items():
        if name in _KINDS:
            main, sub = _KINDS[name]
            named = f"{report.id}-{name}"
            message.add_attachment(content, maintype=main, subtype=sub, filename=named, cte="base64")
    return message


def _explained(failure: Undelivered, config: routes.EmailReceiver) -> VigilError:
    place = f"receiver {config.name}"
    if failure.misconfigured:
        return ConfigError(str(failure), field=place, remedy="See docs/receivers.md; `vigil notify` tests a receiver")
    if failure.only_this:
        return VigilError(f"{place}: the server refuses the report: {failure}")
    unsure = "; it may have arrived all the same" if failure.unknown else ""
    return Unavailable(f"{place}: the report could not be mailed: {failure}{unsure}")
