"""The canary's receiver: tells nobody. Its receipt is the proof that the alert path works."""

from __future__ import annotations

from streaming.alerting.messages import Notification, Receipt
from streaming.alerting.receivers.base import Delivered
from streaming.alerting.routes import CANARY


class CanaryReceiver:
    """Delivers to nobody, always."""

    name = CANARY

    def deliver(self, notification: Notification, receipt: Receipt | None, look_first: bool) -> Delivered:  # noqa: ARG002
        """Nothing to do."""
        return Delivered()

    def check(self) -> None:
        """Always there."""
