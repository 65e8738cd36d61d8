"""The fixed workload: events of the canonical schema, the same at every run."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

SEED = 20_000
NODES = 50
START_NS = 1_700_000_000_000_000_000
STEP_NS = 200_000
"""5,000 events a second of the workload's own time."""

# Of a thousand logs: what a healthy fleet writes, with enough errors that alerting has work.
MIX = (("INFO", 900), ("WARN", 70), ("ERROR", 29), ("FATAL", 1))
SERVICES = ("order", "payment", "inventory", "shipping", "billing")
SENTENCES = (
    "request {n} served for customer {m} in the usual way, nothing to report (region eu-central-1)",
    "reserved {n} items of article {m} in the warehouse of the second region (shard 17 of 64)",
    "cache refreshed with {n} entries after {m} milliseconds of waiting for it (region eu-central-1)",
    "session {n} of user {m} was closed by the client after it had been idle (region eu-central-1)",
)

Record = dict[str, object]


def events(count: int | None, run: str = "bench") -> Iterator[tuple[int, Record]]:
    """(time in nanoseconds, record) pairs, about 281 bytes of JSON each; without end if `count` is None.

    `run` sets their log ids apart from those of other runs.
    """
    random_ = random.Random(SEED)
    levels, weights = [level for level, _ in MIX], [weight for _, weight in MIX]
    for number in itertools.count() if count is None else range(count):
        level = random_.choices(levels, weights)[0]
        time_ns = START_NS + number * STEP_NS
        node = number % NODES
        record: Record = {
            "log_id": f"{run}-{number:09d}",
            "node_id": f"node-{node:03d}",
            "log_level": level,
            "message_type": "LOG",
            "message": SENTENCES[number % len(SENTENCES)].format(n=number, m=random_.randrange(100_000)),
            "service_name": SERVICES[node % len(SERVICES)],
            "timestamp": _iso(time_ns),
        }
        if level == "WARN":
            record |= {"response_time_ms": random_.randrange(500, 5_000), "threshold_limit_ms": 500}
        elif level in ("ERROR", "FATAL"):
            record["error_details"] = {"error_code": f"E{node % 10}", "error_message": "the backend did not answer"}
        yield time_ns, record


def _iso(time_ns: int) -> str:
    import datetime

    moment = datetime.datetime.fromtimestamp(time_ns // 1_000_000_000, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns // 1000 % 1_000_000:06d}Z"
