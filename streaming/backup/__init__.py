"""What lives only in Kafka, written to a file and put back: incidents, silences, rules and what they
remember, registry, templates."""
