"""From the spool to Kafka: what becomes of each event, and the pump that delivers it in order."""
