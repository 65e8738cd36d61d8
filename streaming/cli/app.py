"""Puts the workers' commands into the `vigil` command line, in the order a new user needs them."""

from __future__ import annotations

import typer

from streaming.cli.accumulator import app as accumulator
from streaming.cli.alerting import alerting_system, manager, matcher, notifier
from streaming.cli.backup import backup
from streaming.cli.config import config
from streaming.cli.dead_letters import dead_letters_app
from streaming.cli.heartbeat import heartbeat_monitor
from streaming.cli.incidents import ack, incidents_app, resolve
from streaming.cli.indexer import indexer
from streaming.cli.nodes import nodes
from streaming.cli.reindex import reindex
from streaming.cli.replay import replay
from streaming.cli.rules import rules_app
from streaming.cli.search import search
from streaming.cli.secondary import secondary_app
from streaming.cli.tail import tail
from streaming.cli.templates import templates, templates_worker
from streaming.cli.verify import verify


def register(app: typer.Typer) -> None:
    """Adds every command of this room."""
    for question in (search, tail, templates, nodes):
        app.command()(question)
    app.add_typer(incidents_app, name="incidents")
    app.command()(config)
    app.command()(verify)
    app.command()(backup)
    app.command()(reindex)
    for change in (replay, ack, resolve):
        app.command()(change)
    app.add_typer(dead_letters_app, name="dead-letters")
    app.add_typer(secondary_app, name="secondary")
    app.add_typer(rules_app, name="rules")
    app.add_typer(accumulator, name="accumulator")
    for worker in (indexer, templates_worker, matcher, manager, notifier, heartbeat_monitor, alerting_system):
        app.command()(worker)
