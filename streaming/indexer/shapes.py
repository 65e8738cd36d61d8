"""The fingerprints of messages, for their documents, and word of those that are new, for the map of templates."""

from __future__ import annotations

from streaming.fingerprint.shapes import fingerprint
from streaming.templates.announce import Announcer


class Shapes:
    """Names the shape of each message. Without an announcer nobody is told of new ones."""

    def __init__(self, announcer: Announcer | None = None) -> None:
        self._announcer = announcer

    def name(self, message: str, received_ns: int) -> str:
        """The fingerprint of a message that was received then."""
        found = fingerprint(message)
        announcer = self._announcer
        if announcer is not None and found not in announcer.known:
            announcer.note(found, message, received_ns)
        return found

    def tick(self) -> None:
        """After each batch."""
        if self._announcer is not None:
            self._announcer.tick()

    def close(self) -> None:
        """Sends what is under way."""
        if self._announcer is not None:
            self._announcer.close()
