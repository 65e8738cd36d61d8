"""The rule set in force: from the files, else the last good one from the topic (design decision 14)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from streaming.alerting.rules.loading import load_rules, rule_files
from streaming.alerting.rules.ruleset import RuleSet
from streaming.errors import ConfigError
from streaming.kafka import topics
from streaming.kafka.compacted import read_all
from streaming.settings import Settings
from streaming.worker.logs import logger

log = logger(__name__)

LAST_GOOD = b"last-good"
"""Key of the record that holds the set in force. Each set is kept under its version as well: what was in force
when an old event came can be asked for ever."""

LOOK_EVERY_S = 2.0

Stamp = tuple[tuple[str, int, int], ...]
"""Names, times of change and sizes of the rule files: what tells that one of them changed."""


def records_of(rules: RuleSet) -> list[tuple[bytes, bytes]]:
    """What the matcher writes into `rule-sets` when a set comes into force."""
    return [(LAST_GOOD, rules.encode()), (rules.version.encode(), rules.encode())]


def last_good(settings: Settings) -> RuleSet | None:
    """The set that was last in force.

    Raises:
        Unavailable: Kafka does not answer.
        ConfigError: it was written by a version of Vigil that knew other rules.
    """
    kept = read_all(settings, topics.RULE_SETS, wait_for_open=True).get(LAST_GOOD)
    return None if kept is None else RuleSet.decode(kept)


class RuleSource:
    """Follows the rule files.

    `rules` is the set in force, `broken` what is wrong with the files now (None: nothing). Its constructor raises
    ConfigError where the files are broken and there is no last good set.
    """

    def __init__(
        self,
        path: Path,
        fallback: Callable[[], RuleSet | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._clock = path, clock
        self._stamp = _stamp(path)
        self._looked = clock()
        self.broken: ConfigError | None = None
        try:
            self.rules = load_rules(path)
        except ConfigError as error:
            kept = fallback()
            if kept is None:
                raise
            self.rules, self.broken = kept, error
            log.error("rules broken, last good set in force", reason=str(error), version=kept.version)

    def changed(self, *, at_once: bool = False) -> bool:
        """Looks at the files, at most every `LOOK_EVERY_S` or else `at_once`; true when `rules` or `broken` changed."""
        if not at_once and self._clock() - self._looked < LOOK_EVERY_S:
            return False
        self._looked = self._clock()
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        before = (self.rules.version, str(self.broken))
        try:
            self.rules, self.broken = load_rules(self._path), None
        except ConfigError as error:
            self.broken = error
        after = (self.rules.version, str(self.broken))
        if after != before:
            log.info("rules looked at again", version=self.rules.version, broken=str(self.broken or ""))
        return after != before


def _stamp(path: Path) -> Stamp:
    try:
        stats = [(str(file), file.stat()) for file in rule_files(path)]
    except (ConfigError, OSError):
        return ()
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)
