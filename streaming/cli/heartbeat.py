"""`vigil heartbeat-monitor`: the worker that notices nodes that fall silent."""

from __future__ import annotations


def heartbeat_monitor() -> None:
    """Run the heartbeat monitor in the foreground until Ctrl-C. Only one runs at a time.

    Example: VIGIL_HEARTBEAT_DEADLINE_S=5 vigil heartbeat-monitor
    """
    from streaming.heartbeat.__main__ import start

    start()
