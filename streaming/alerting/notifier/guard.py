"""What a receiver fails by without meaning to: a fault of its code, which is no reason to tell nobody of anything."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from streaming.alerting.messages import Incident, Receipt
from streaming.alerting.receivers.base import Delivered, Digest, Notice, TellsMany, Undelivered
from streaming.worker.logs import logger

log = logger(__name__)

FAULT = "fault"
"""Reason of a failure that the receiver did not foresee."""


@contextmanager
def guarded(receiver: str) -> Iterator[None]:
    """Around each call of a receiver. What it did before it failed nobody knows, and other messages may pass: they
    need not wait, and this one goes to others in time.

    Raises:
        Undelivered: it failed, by whatever it raised.
    """
    try:
        yield
    except Undelivered:
        raise
    except Exception as fault:  # the next notifier would meet it again, and again tell nobody
        # Where it was, and not what it says: that may quote an address or a token.
        trace = "".join(traceback.format_tb(fault.__traceback__))
        log.error("a fault of the receiver", receiver=receiver, fault=type(fault).__name__, traceback=trace)
        raise Undelivered(FAULT, type(fault).__name__, only_this=True, unknown=True) from fault


class GuardedTeller:
    """A receiver that tells of many in one message, each call guarded."""

    def __init__(self, name: str, receiver: TellsMany) -> None:
        self._name, self._receiver = name, receiver

    def find_told(self, wanted: Mapping[str, tuple[Incident, Receipt | None]], since_ms: int) -> frozenset[str]:
        """As the receiver's."""
        with guarded(self._name):
            return self._receiver.find_told(wanted, since_ms)

    def write_digest(self, digest: Digest, look_first: bool) -> Delivered:
        """As the receiver's."""
        with guarded(self._name):
            return self._receiver.write_digest(digest, look_first)

    def write_notice(self, digest: Digest, notice: Notice, look_first: bool) -> None:
        """As the receiver's."""
        with guarded(self._name):
            self._receiver.write_notice(digest, notice, look_first)
