"""The pools of Airflow that Vigil's DAGs take their slots from."""

from __future__ import annotations

from typing import Final

HEAVY: Final = "vigil_heavy"
"""For what reads much: a verification, a report, a backtest. One at a time, so that the platform keeps its cores."""

INDICES: Final = "vigil_indices"
"""For what changes whole indices: rolling them, replaying dead letters into them, repairing their templates."""

POOLS: Final[dict[str, str]] = {
    HEAVY: "one at a time: verifications, reports, backtests",
    INDICES: "one at a time: rolling indices, replaying dead letters, index templates",
}
"""Name to description. Each has one slot; `vigil up` makes those that are missing."""
