"""What deferred tasks wait for, without a process of their own; one module per subject.

Each trigger asks in a thread, since neither supervisor nor Kafka nor Elasticsearch is asked asynchronously, and has an
absolute deadline, so that another triggerer that takes over does not wait anew.
"""
