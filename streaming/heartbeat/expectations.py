"""What rule files ask of the heartbeat monitor: nodes that must be there, and how far clocks may be off."""

from __future__ import annotations

import time
from collections.abc import Callable

from streaming.alerting.rules.node_health import NodeHealthRule
from streaming.alerting.rules.ruleset import RuleSet
from streaming.alerting.rules.source import RuleSource, last_good
from streaming.errors import ConfigError
from streaming.settings import Settings
from streaming.worker.logs import logger

log = logger(__name__)

TRY_AGAIN_S = 10.0


class Expectations:
    """Follows the rule files. Where they are broken the last good set counts, and where there is none, nothing: that
    is no reason not to watch who beats."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._source: RuleSource | None = None
        self._version, self._tried_at = "", -TRY_AGAIN_S

    def changed(self) -> RuleSet | None:
        """The rules, where they are others than at the last call; looks at the files every few seconds."""
        if self._source is None:
            self._source = self._open()
        if self._source is None:
            return None
        self._source.changed()
        rules = self._source.rules
        if rules.version == self._version:
            return None
        self._version = rules.version
        return rules

    def _open(self) -> RuleSource | None:
        if self._clock() - self._tried_at < TRY_AGAIN_S:
            return None
        self._tried_at = self._clock()
        try:
            return RuleSource(self._settings.rules_path, lambda: last_good(self._settings))
        except ConfigError as error:
            log.error("no inventory: the rules are broken, and there is no last good set", reason=str(error))
            return None


def expected(rules: RuleSet) -> dict[str, str]:
    """The inventory: services by node."""
    return {entry.node: entry.service for entry in rules.inventory}


def skew_bounds_ms(rules: RuleSet) -> set[float]:
    """Differences of clocks that rules ask for."""
    bounds = (rule.skew_bound_ms for rule in rules.rules if rule.enabled and isinstance(rule, NodeHealthRule))
    return {bound for bound in bounds if bound is not None}
