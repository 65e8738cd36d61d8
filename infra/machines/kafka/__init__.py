"""Kafka on machines: brokers that trust certificates, clients that have users, and what each user may do."""
