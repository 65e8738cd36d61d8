"""Alerting: rules find candidates in logs, the manager makes incidents of them, the notifier tells people."""
