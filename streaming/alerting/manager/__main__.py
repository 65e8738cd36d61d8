"""`python -m streaming.alerting.manager [--slot N]`: the alert manager or, as a second slot, its standby."""

from __future__ import annotations

from streaming.alerting.entry import run_worker
from streaming.alerting.manager.worker import Manager


def main() -> None:
    """Runs the manager."""
    run_worker("manager", Manager)


if __name__ == "__main__":
    main()
