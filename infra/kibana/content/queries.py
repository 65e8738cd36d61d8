"""Queries that several objects share, in Kibana's query language."""

from __future__ import annotations

from streaming.canary import SERVICE as CANARY

REAL = f'not service.name : "{CANARY}"'
"""Vigil's own canaries are left out: they log errors on purpose."""

ERRORS = f'log.level : ("ERROR" or "FATAL") and {REAL}'
ONLY_ERRORS = 'log.level : ("ERROR" or "FATAL")'
"""For a column of a chart whose own query leaves canaries out already."""

HEARTBEAT_AUDITS = 'kind : "heartbeat"'
PIPELINE_AUDITS = 'kind : "pipeline"'

OPEN = f'vigil.incident.state : ("firing" or "acknowledged" or "silenced") and {REAL}'
"""Of incidents as they are; what a rule waits for (`for`) is no event yet."""

REAL_NODES = f'vigil.node.kind : "node" and {REAL}'
"""Without the accumulators and the pipeline itself, which are told as nodes too."""

UNCLEAN = "not vigil.node.clean_shutdown : true"
"""Without those that said themselves that they go down: these are no trouble, and many never come back."""

NOT_UP = f'vigil.node.state : ("DOWN" or "SUSPECT" or "UNKNOWN") and {UNCLEAN}'
