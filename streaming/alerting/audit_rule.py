"""The rule id under which audits raise incidents."""

from __future__ import annotations

from typing import Final

AUDIT_RULE: Final = "vigil-audit"
"""One incident for each kind of audit, problem and subject (`streaming/audit/incidents.py`)."""
