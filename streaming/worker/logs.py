"""Workers log JSON lines in Vigil's own canonical schema, so that the platform can carry its own logs."""

from __future__ import annotations

import itertools
import logging
import os
import sys

import structlog
from structlog.typing import EventDict, WrappedLogger

_LEVELS = {"warning": "WARN", "critical": "FATAL", "exception": "ERROR"}


def configure_logs(worker: str) -> None:
    """Sends structlog and standard logging of this process to standard error as JSON lines.

    Call once at start. Workers log changes of state, never single records: what is carried must not make
    more to carry.
    """
    node_id, log_numbers = f"vigil-{worker}-{os.getpid()}", itertools.count(1)
    started = f"{os.getpid():x}"

    def canonical(_: WrappedLogger, method: str, event: EventDict) -> EventDict:
        level = str(event.pop("level", method))
        return {
            "log_id": f"{node_id}-{started}-{next(log_numbers)}",
            "node_id": node_id,
            "service_name": f"vigil-{worker}",
            "message_type": "LOG",
            "log_level": _LEVELS.get(level, level.upper()),
            "timestamp": event.pop("timestamp"),
            "message": event.pop("event"),
            **event,
        }

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                canonical,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger for a module: `log.info("assigned", partitions=[1, 2])`."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return bound
