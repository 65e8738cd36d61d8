"""Puts the workers' commands into the `vigil` command line, in the order a new user needs them."""

from __future__ import annotations

import typer

from streaming.cli.accumulator import app as accumulator
from streaming.cli.alerting import alerting_system, manager, matcher, notifier
from streaming.cli.backup import backup
from streaming.cli.config import config
from streaming.cli.dead_letters import dead_letters_app
from streaming.cli.heartbeat import heartbeat_monitor
from streaming.cli.incidents import incidents_app
from streaming.cli.indexer import indexer
from streaming.cli.indices import indices_app
from streaming.cli.nodes import nodes_app
from streaming.cli.notify import notify_app
from streaming.cli.oncall import oncall
from streaming.cli.orders import ack, audit, resolve, unack
from streaming.cli.pipeline import pipeline_app
from streaming.cli.reindex import reindex
from streaming.cli.replay import replay
from streaming.cli.reports import reports_app
from streaming.cli.rules import rules_app
from streaming.cli.search import search
from streaming.cli.secondary import secondary_app
from streaming.cli.silences import silence_app
from streaming.cli.tail import tail
from streaming.cli.templates import templates, templates_worker
from streaming.cli.verify import verify
from streaming.cli.why import why


def register(app: typer.Typer) -> None:
    """Adds every command of this room."""
    for question in (search, tail, templates):
        app.command()(question)
    app.add_typer(pipeline_app, name="pipeline")
    app.add_typer(nodes_app, name="nodes")
    app.add_typer(incidents_app, name="incidents")
    app.command()(why)
    app.command()(oncall)
    app.add_typer(reports_app, name="reports")
    app.command()(config)
    app.command()(verify)
    app.command()(backup)
    app.add_typer(indices_app, name="indices")
    app.command()(reindex)
    for change in (replay, ack, unack, resolve):
        app.command()(change)
    app.add_typer(silence_app, name="silence")
    app.command()(audit)
    app.add_typer(dead_letters_app, name="dead-letters")
    app.add_typer(secondary_app, name="secondary")
    app.add_typer(rules_app, name="rules")
    app.add_typer(notify_app, name="notify")
    app.add_typer(accumulator, name="accumulator")
    for worker in (indexer, templates_worker, matcher, manager, notifier, heartbeat_monitor, alerting_system):
        app.command()(worker)
