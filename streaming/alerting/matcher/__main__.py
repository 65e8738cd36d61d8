"""`python -m streaming.alerting.matcher [--slot N]`: one matcher, until TERM."""

from __future__ import annotations

import gc

from streaming.alerting.entry import run_worker
from streaming.alerting.matcher.worker import Matcher


def main() -> None:
    """Runs the matcher of a slot."""
    # A round holds thousands of records, and none is part of a cycle: see the indexer.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    run_worker("matcher", Matcher)


if __name__ == "__main__":
    main()
