"""Receivers of notifications: one file each, behind the protocol of `base.py`.

Which there are, and how each is made. A class takes its entry of the rule files and its secrets:

    SlackReceiver(token, channel, api_url, messages_per_s=..., name=..., view=...)
    WebhookReceiver(config, url=SecretStr, secret=SecretStr | None, pages=...)
    AlertmanagerReceiver(config, url=SecretStr, pages=...)
    PagerDutyReceiver(config, routing_key=SecretStr, pages=...)
    EmailReceiver(config, password=SecretStr | None, people=..., pages=...)

`people` are the mail addresses or Slack ids of those whom a notification's `mentions` may name, `pages` says what
pages there are of an incident.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from streaming.alerting.receivers.base import Receiver
from streaming.alerting.receivers.canary import CanaryReceiver
from streaming.alerting.receivers.console import ConsoleReceiver
from streaming.alerting.receivers.links import Links
from streaming.alerting.routes import CANARY, CONSOLE, SLACK, has_slack
from streaming.alerting.rules import routes
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.secrets import resolve
from streaming.elastic.mapping import logs_data_view
from streaming.errors import ConfigError
from streaming.settings import Settings
from streaming.worker.logs import logger

log = logger(__name__)

Config = (
    routes.SlackReceiver
    | routes.WebhookReceiver
    | routes.AlertmanagerReceiver
    | routes.PagerDutyReceiver
    | routes.EmailReceiver
)


@dataclass(frozen=True)
class Wanted:
    """A receiver as it should be. Where two are equal, one made for the one serves the other."""

    name: str
    config: Config | None = None
    """None: console or canary."""
    people: tuple[tuple[str, str], ...] = ()
    """Names of people, and how this receiver calls them."""


def wanted_receivers(rules: RuleSet, settings: Settings) -> dict[str, Wanted]:
    """Every receiver by name: those of the rule files, and those that are built in."""
    wanted = {CANARY: Wanted(CANARY), CONSOLE: Wanted(CONSOLE)}
    configs: list[Config] = list(rules.receivers)
    if has_slack(settings):
        configs.append(
            routes.SlackReceiver(
                name=SLACK,
                kind="slack",
                channel=settings.slack_channel,
                messages_per_s=settings.slack_messages_per_s,
            )
        )
    for config in configs:
        wanted[config.name] = Wanted(config.name, config, _people(config, rules))
    return wanted


def make_receiver(wanted: Wanted, settings: Settings) -> Receiver:
    """Makes one; reads its secrets, and connects to nothing yet.

    Raises:
        ConfigError: a secret of it cannot be read.
    """
    # Their libraries cost some MB of memory, which who has no such receiver need not spend.
    people, pages = dict(wanted.people), links_to(settings).pages
    match wanted.config:
        case None:
            return CanaryReceiver() if wanted.name == CANARY else ConsoleReceiver()
        case routes.SlackReceiver() as config:
            return _slack(config, people, settings)
        case routes.WebhookReceiver() as config:
            from streaming.alerting.receivers.webhook import WebhookReceiver

            return WebhookReceiver(config, url=_url(config), secret=_optional(config.secret, config.name), pages=pages)
        case routes.AlertmanagerReceiver() as config:
            from streaming.alerting.receivers.alertmanager import AlertmanagerReceiver

            return AlertmanagerReceiver(config, url=_url(config), pages=pages)
        case routes.PagerDutyReceiver() as config:
            from streaming.alerting.receivers.pagerduty import PagerDutyReceiver

            return PagerDutyReceiver(config, routing_key=resolve(config.routing_key, config.name), pages=pages)
        case routes.EmailReceiver() as config:
            from streaming.alerting.receivers.email import EmailReceiver

            return EmailReceiver(config, password=_optional(config.password, config.name), people=people, pages=pages)


def links_to(settings: Settings) -> Links:
    """Where links in messages lead, by the settings."""
    return Links(settings.ui_url, settings.kibana_url, logs_data_view(settings.index_prefix))


def _slack(config: routes.SlackReceiver, people: Mapping[str, str], settings: Settings) -> Receiver:
    from streaming.alerting.receivers.slack import SlackReceiver, View

    token = settings.slack_bot_token if config.name == SLACK else resolve(config.token, config.name)
    return SlackReceiver(
        token.get_secret_value(),
        config.channel,
        settings.slack_api_url,
        messages_per_s=config.messages_per_s,
        name=config.name,
        view=View(people, links_to(settings), buttons=has_buttons(config, settings)),
    )


def has_buttons(config: routes.SlackReceiver, settings: Settings) -> bool:
    """Whether messages of this receiver get buttons: an app token is given."""
    if config.name == SLACK:
        return bool(settings.slack_app_token.get_secret_value())
    return config.app_token is not None


def button_apps(rules: RuleSet, settings: Settings) -> dict[str, str]:
    """The apps of Slack whose buttons are answered: bot tokens by app tokens. One whose secrets cannot be read is left
    out: its messages, which say so, do not depend on its buttons."""
    found = {}
    for wanted in wanted_receivers(rules, settings).values():
        config = wanted.config
        if not isinstance(config, routes.SlackReceiver) or not has_buttons(config, settings):
            continue
        try:
            app = settings.slack_app_token if config.app_token is None else resolve(config.app_token, config.name)
            bot = settings.slack_bot_token if config.name == SLACK else resolve(config.token, config.name)
        except ConfigError as error:
            log.error("buttons are not answered", receiver=config.name, reason=str(error))
            continue
        found[app.get_secret_value()] = bot.get_secret_value()
    return found


def _people(config: Config, rules: RuleSet) -> tuple[tuple[str, str], ...]:
    """How a receiver of this kind calls people; those whom it cannot call are left out."""
    if isinstance(config, routes.SlackReceiver):
        return tuple((person.name, person.slack) for person in rules.people if person.slack)
    if isinstance(config, routes.EmailReceiver):
        return tuple((person.name, person.email) for person in rules.people if person.email)
    return ()


def _url(config: routes.WebhookReceiver | routes.AlertmanagerReceiver) -> SecretStr:
    """The address; as a secret in any case, since it is often one."""
    if isinstance(config.url, str):
        return SecretStr(config.url)
    address = resolve(config.url, config.name)
    if not routes.is_web_address(address.get_secret_value()):
        raise ConfigError(f"receiver {config.name}: its secret url is no http(s) address")
    return address


def _optional(secret: routes.Secret | None, receiver: str) -> SecretStr | None:
    return None if secret is None else resolve(secret, receiver)
