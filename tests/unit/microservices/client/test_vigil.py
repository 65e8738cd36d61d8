from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import ForwardServer


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)


def test_three_lines_are_enough(forward_server: ForwardServer) -> None:
    done = run(
        "import logging\n"
        "from microservices.client import vigil\n"
        f"vigil.attach(service='order', port={forward_server.port})\n"
        "logging.error('no card', extra={'error_code': 'NO_CARD'})\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    (log,) = forward_server.records("LOG")
    assert log["error_details"] == {"error_code": "NO_CARD", "error_message": "no card"}
    assert str(log["node_id"]).startswith("order-")
    assert len(forward_server.records("REGISTRATION")) <= 1, "a process this short may end before it has registered"
    assert forward_server.records("HEARTBEAT")[-1]["status"] == "DOWN"


def test_the_client_needs_the_base_install_alone() -> None:
    done = run(
        "import sys\n"
        "from microservices.client import vigil\n"
        "print([m for m in ('pydantic', 'confluent_kafka', 'structlog', 'fastapi', 'orjson') if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]"


def test_an_accumulator_that_is_away_neither_stops_nor_delays_a_service(forward_server: ForwardServer) -> None:
    forward_server.stop()
    done = run(
        "import logging, time\n"
        "from microservices.client import vigil\n"
        f"vigil.attach(service='order', port={forward_server.port})\n"
        "logging.info('hello')\n"
    )
    assert done.returncode == 0
    assert "1 logs of order-" in done.stderr
    assert "Traceback" not in done.stderr
