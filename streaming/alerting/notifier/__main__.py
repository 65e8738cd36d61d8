"""`python -m streaming.alerting.notifier [--slot N]`: the notifier or, as a second slot, its standby."""

from __future__ import annotations

from streaming.alerting.entry import run_worker
from streaming.alerting.notifier.worker import Notifier


def main() -> None:
    """Runs the notifier."""
    run_worker("notifier", Notifier)


if __name__ == "__main__":
    main()
