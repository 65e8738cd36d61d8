"""What lives only in Kafka, written to a file and put back: incidents, marks, rule sets, registry, templates."""
