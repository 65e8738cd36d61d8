"""Elasticsearch: the declared mapping, raw bulk requests, and what people ask of the logs."""
