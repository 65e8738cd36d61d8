"""The one-machine platform: a real Kafka and a real Elasticsearch, under a process supervisor."""
