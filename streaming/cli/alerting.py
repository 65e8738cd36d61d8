"""`vigil matcher`, `manager`, `notifier` and `alerting-system`: the workers of the alert path."""

from __future__ import annotations

from typing import Annotated

import typer

Slot = Annotated[int, typer.Option(min=0, help="which of several this is on this platform")]


def matcher(slot: Slot = 0) -> None:
    """Run a matcher in the foreground until Ctrl-C. Any number of them share the logs, each with its own slot.

    Example: vigil matcher --slot 1
    """
    from streaming.alerting.entry import start
    from streaming.alerting.matcher.worker import Matcher

    start("matcher", Matcher, slot)


def manager(slot: Slot = 0) -> None:
    """Run the alert manager in the foreground until Ctrl-C. A second one, with another slot, stands by.

    Example: vigil manager
    """
    from streaming.alerting.entry import start
    from streaming.alerting.manager.worker import Manager

    start("manager", Manager, slot)


def notifier(slot: Slot = 0) -> None:
    """Run the notifier in the foreground until Ctrl-C. A second one, with another slot, stands by.

    Writes to Slack where SLACK_BOT_TOKEN and SLACK_CHANNEL are set, else to standard output.

    Example: vigil notifier
    """
    from streaming.alerting.entry import start
    from streaming.alerting.notifier.worker import Notifier

    start("notifier", Notifier, slot)


def alerting_system() -> None:
    """Run matcher, manager, notifier and heartbeat monitor in one process, until Ctrl-C.

    Example: vigil alerting-system
    """
    from streaming.alerting_system import run_alerting_system
    from streaming.settings import load_settings

    run_alerting_system(load_settings())
