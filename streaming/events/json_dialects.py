"""JSON objects (placeholder)."""

from __future__ import annotations

NO_NODE_ID = "no-node-id"
BAD_STATUS = "bad-status"
