"""Proof that nothing was lost: what accumulators say they spooled, what Kafka holds, what Elasticsearch has."""

from streaming.verify.report import Report, Verdict
from streaming.verify.run import verify

__all__ = ["Report", "Verdict", "verify"]
