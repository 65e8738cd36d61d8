"""What a Python service needs to take part: logs, heartbeats and a trace, in three lines. Base install alone.

    from microservices.client import vigil
    vigil.attach(service="order", port=24224)
    logging.error("payment refused", extra={"error_code": "CARD_EXPIRED"})

The heads of its parts: `vigil` (attach, detach), `handler` (a standard logging handler), `heartbeat`, `tracing`.
"""
