"""From Kafka into Elasticsearch: every log a document or a dead letter, no offset committed before."""
