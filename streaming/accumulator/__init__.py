"""The built-in accumulator: Fluentd's configuration and protocol, a durable spool, Kafka out."""
