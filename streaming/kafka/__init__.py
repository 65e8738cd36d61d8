"""Kafka: the declared topics, and the clients' settings that the guarantees rest on."""
