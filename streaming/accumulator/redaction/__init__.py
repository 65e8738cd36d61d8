"""Redaction: what declared rules find in events is replaced before anything touches the disk."""
