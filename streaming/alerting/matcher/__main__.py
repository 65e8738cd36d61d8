"""`python -m streaming.alerting.matcher [--slot N]`: one matcher, until TERM."""

from __future__ import annotations

from streaming.alerting.entry import run_worker
from streaming.alerting.matcher.worker import Matcher


def main() -> None:
    """Runs the matcher of a slot."""
    run_worker("matcher", Matcher)


if __name__ == "__main__":
    main()
