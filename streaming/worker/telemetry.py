"""`GET /health` and `GET /metrics` of a process, on a loopback port."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from streaming.errors import ConfigError, Unavailable
from streaming.worker.health import Health

SILENCE_ALLOWED_S = 10.0
"""A client that says nothing for so long is cut off: each has a thread of this process."""


class TelemetryServer:
    """Serves the health of all workers of this process and its metrics, from the moment it is made.

    `healths` may change meanwhile.

    Raises:
        Unavailable: the port is taken.
        ConfigError: there is no such port.
    """

    def __init__(self, host: str, port: int, healths: Sequence[Health]) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = SILENCE_ALLOWED_S

            def do_GET(self) -> None:
                if self.path == "/health":
                    answers = [health.answer() for health in healths]
                    healthy = all(a["healthy"] for a in answers)
                    body = json.dumps({"healthy": healthy, "workers": answers}).encode()
                    self._send(200 if healthy else 503, "application/json", body)
                elif self.path == "/metrics":
                    self._send(200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY))
                else:
                    self._send(404, "text/plain; charset=utf-8", b"/health and /metrics are here\n")

            def _send(self, status: int, content_type: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Probes are not news."""

        try:
            self._server = ThreadingHTTPServer((host, port), Handler)
        except OverflowError as error:
            raise ConfigError(
                f"{port} is no port", field="VIGIL_HEALTH_PORT_BASE", remedy="Set it lower, or take a lower slot"
            ) from error
        except OSError as error:
            raise Unavailable(
                f"port {port} on {host} is taken ({error.strerror}); is another worker of this name running?"
            ) from error
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, name="telemetry", daemon=True).start()

    def close(self) -> None:
        """Stops serving."""
        self._server.shutdown()
        self._server.server_close()
