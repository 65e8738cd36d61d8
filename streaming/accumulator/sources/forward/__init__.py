"""The Forward protocol's listener: connections, who may send, TLS, UDP heartbeats."""

from streaming.accumulator.sources.forward.server import ForwardServer, Submit

__all__ = ["ForwardServer", "Submit"]
