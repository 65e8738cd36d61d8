"""Answers UDP heartbeats on a source's port: one byte for each datagram, as Fluentd's in_forward does.

Senders with `heartbeat_type udp` (out_forward) take a receiver that does not answer for dead.
"""

from __future__ import annotations

import asyncio
from typing import cast

ANSWER = b"\0"


class UdpHeartbeat(asyncio.DatagramProtocol):
    """One port. An answer is never longer than its question, so nobody can be flooded through it."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # asyncio's own is no subclass of it before Python 3.12, but has its methods.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        if data and self._transport and not self._busy:
            self._transport.sendto(ANSWER, addr)

    def pause_writing(self) -> None:
        """Answers pile up (64 KiB). Those that come now are left away, as UDP itself would."""
        self._busy = True

    def resume_writing(self) -> None:
        self._busy = False
