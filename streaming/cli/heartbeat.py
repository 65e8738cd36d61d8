"""`vigil heartbeat-monitor`: the worker that notices nodes that fall silent."""

from __future__ import annotations

from streaming.cli.alerting import Slot


def heartbeat_monitor(slot: Slot = 0) -> None:
    """Run the heartbeat monitor in the foreground until Ctrl-C. A second one, with another slot, stands by.

    Example: VIGIL_HEARTBEAT_DEADLINE_S=5 vigil heartbeat-monitor
    """
    from streaming.heartbeat.__main__ import start

    start(slot)
