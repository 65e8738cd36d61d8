"""Names of an index's generations."""

from __future__ import annotations

import pytest

from streaming.reindex.generations import fresh_name, unfinished

DAY = "vigil-logs-default-2026.11.25"


@pytest.mark.parametrize(
    ("existing", "fresh"),
    [
        (set(), f"{DAY}-r1"),
        ({DAY}, f"{DAY}-r1"),
        ({f"{DAY}-r1"}, f"{DAY}-r2"),
        ({f"{DAY}-r9", f"{DAY}-r10"}, f"{DAY}-r11"),
        ({"vigil-logs-default-2026.11.24-r7"}, f"{DAY}-r1"),
        ({f"{DAY}-r0", f"{DAY}-rx"}, f"{DAY}-r1"),
    ],
)
def test_the_next_is_above_all_that_exist(existing: set[str], fresh: str) -> None:
    assert fresh_name(DAY, existing) == fresh


def test_a_generation_that_no_alias_leads_to_is_unfinished() -> None:
    found = {DAY: set(), f"{DAY}-r1": set(), "vigil-logs-default-2026.11.24-r2": {"vigil-logs-default-2026.11.24"}}
    assert unfinished(found) == [f"{DAY}-r1"]
