"""All that the manager keeps, as it was last committed: read once, or followed as it is written."""

from __future__ import annotations

import msgspec

from streaming import decoding
from streaming.alerting.desk import RESTORED_FROM, Desk
from streaming.alerting.messages import Incident
from streaming.alerting.rules.ruleset import RuleSet
from streaming.kafka import topics
from streaming.kafka.compacted import unreadable
from streaming.kafka.tail import CompactedTail
from streaming.settings import Settings

_INCIDENT = decoding.decoder(Incident)


class KeptState:
    """What the topics of `RESTORED_FROM` hold. Incidents go into a desk as they come, which is most of the work of
    taking over: 100,000 of them are some 200 MB.

    Raises (`follow`): Unavailable, where Kafka does not answer.
    """

    def __init__(self, settings: Settings, rules: RuleSet, partitions: int | None) -> None:
        self._partitions = partitions
        self._desk = Desk(rules, partitions=partitions)
        self._others: dict[str, dict[bytes, bytes]] = {topics.RULE_STATE: {}, topics.SILENCES: {}}
        self._tail = CompactedTail(settings, RESTORED_FROM, self)

    def follow(self, *, wait_for_open: bool = False) -> None:
        """Reads to the end as committed now, or with `wait_for_open` behind what is open now."""
        self._tail.follow(wait_for_open=wait_for_open)

    def desk(self, rules: RuleSet) -> Desk:
        """A desk that goes on from here; after it nothing can be followed."""
        followed = self._desk
        if followed.rules is not rules:
            followed = Desk(rules, partitions=self._partitions)
            for incident in self._desk.book.by_key.values():
                followed.follow(incident)
        followed.restore((), self._others[topics.RULE_STATE], self._others[topics.SILENCES])
        return followed

    def close(self) -> None:
        """Disconnects."""
        self._tail.close()

    def take(self, name: str, key: bytes, value: bytes | None) -> None:
        """A record of one of the topics."""
        if name != topics.INCIDENT_STATE:
            _put(self._others[name], key, value)
        elif value is None:
            self._desk.unfollow(key.decode("utf-8", "replace"))
        else:
            try:
                self._desk.follow(_INCIDENT.decode(value))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                unreadable(name, key, error, "manager")

    def forget(self, name: str) -> None:
        """The topic was made anew."""
        if name == topics.INCIDENT_STATE:
            self._desk = Desk(self._desk.rules, partitions=self._partitions)
        else:
            self._others[name].clear()


def _put(latest: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    if value is None:
        latest.pop(key, None)
    else:
        latest[key] = value
