"""Elasticsearch on machines whose software comes from packages: its configuration, its start, and who may do what."""
