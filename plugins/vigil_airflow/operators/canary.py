"""Sends a canary through the platform and waits until it comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator, Context

from infra.targets import DEPLOYED_LAST
from vigil_airflow.hooks import VigilHook


class CanaryLogOperator(BaseOperator):
    """An INFO log from an accumulator's socket to a search that finds it. Returns the milliseconds that took.

    Args:
        target: as `infra.targets.reference` takes it (templated).
        timeout_s: how long the document is waited for.

    Raises:
        VigilError: it did not arrive; the text says where it was seen last.
    """

    template_fields: Sequence[str] = ("target",)
    ui_color = "#fff2cc"

    def __init__(self, *, target: str = DEPLOYED_LAST, timeout_s: float = 30.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target, self.timeout_s = target, timeout_s

    def execute(self, context: Context) -> int:
        """Sends it and waits."""
        from streaming.canary import await_document, send_canary
        from streaming.events.model import Level

        with VigilHook(self.target).platform.sending() as settings:
            canary = send_canary(settings, Level.INFO)
            took_ms = await_document(settings, canary, self.timeout_s)
        self.log.info("%s was found in Elasticsearch %d ms after it was sent", canary.log_id, took_ms)
        return took_ms


class CanaryAlertOperator(BaseOperator):
    """An ERROR log from an accumulator's socket to the receipt of its alert. Returns milliseconds per hop.

    Args:
        target: as `infra.targets.reference` takes it (templated).
        timeout_s: how long the receipt is waited for.

    Raises:
        VigilError: no alert was delivered; the text names the hop that is missing.
    """

    template_fields: Sequence[str] = ("target",)
    ui_color = "#fff2cc"

    def __init__(self, *, target: str = DEPLOYED_LAST, timeout_s: float = 45.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target, self.timeout_s = target, timeout_s

    def execute(self, context: Context) -> dict[str, int]:
        """Sends it and waits."""
        from streaming.canary import await_receipt, send_canary
        from streaming.events.model import Level

        with VigilHook(self.target).platform.sending() as settings:
            canary = send_canary(settings, Level.ERROR)
            took_ms = {str(hop): ms for hop, ms in await_receipt(settings, canary, self.timeout_s).items()}
        hops = ", ".join(f"{hop} {ms} ms" for hop, ms in took_ms.items())
        self.log.info("the alert for %s was delivered; after it was sent: %s", canary.log_id, hops)
        return took_ms
