from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.claims import claim_state, refuse_taken, require_loopback
from streaming.errors import ConfigError, Unavailable
from streaming.settings import CHECKOUT, Settings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_loopback_is_accepted(host: str) -> None:
    require_loopback(Settings(bind_host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::1", "example.org", ""])
def test_what_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="not a loopback address of IPv4"):
        require_loopback(Settings(bind_host=host))


def test_a_taken_port_is_named_in_one_line_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port} cannot be used.*VIGIL_KAFKA_PORT") as raised:
            refuse_taken("127.0.0.1", port, "VIGIL_KAFKA_PORT")
    assert "\n" not in str(raised.value)
    refuse_taken("127.0.0.1", port, "VIGIL_KAFKA_PORT")  # free again at once


def test_a_state_has_one_holder_until_that_ends_also_across_an_exec(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, sys; from pathlib import Path; from infra.local.claims import claim_state;"
            f"claim_state(Path({str(tmp_path)!r}), 'kafka-1');"
            "os.execv('/bin/sh', ['sh', '-c', 'echo held; read line'])",
        ],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Unavailable, match="kafka-1 runs already with the state in"):
            claim_state(tmp_path, "kafka-1")
        claim_state(tmp_path, "kafka-2")
        holder.kill()
    claim_state(tmp_path, "kafka-1")
