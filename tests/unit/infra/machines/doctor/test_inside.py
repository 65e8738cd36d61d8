"""What a machine tells of itself: asked of this one, and of numbers whose meaning is known."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.machines.doctor import inside
from infra.machines.doctor.asking import connect
from infra.machines.doctor.facts import Inside, Way
from streaming.decoding import decode


@pytest.mark.skipif(sys.byteorder != "little", reason="numbers of a little-endian processor")
def test_addresses_of_the_kernel_are_read() -> None:
    assert inside.readable("0100007F") == "127.0.0.1"
    assert inside.readable("00000000") == "0.0.0.0"
    assert inside.readable("00000000000000000000000000000000") == "::"
    assert inside.readable("00000000000000000000000001000000") == "::1"
    # Java listens so at 10.77.0.12.
    assert inside.readable("0000000000000000FFFF00000C004D0A") == "10.77.0.12"


def test_it_runs_by_itself_and_says_what_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        listens, closed = taken.getsockname()[1], unused.getsockname()[1]
        before = time.time()
        done = subprocess.run(
            [sys.executable, "-I", "-", f"127.0.0.1:{listens}", f"127.0.0.1:{closed}"],
            input=Path(inside.__file__).read_bytes(),
            capture_output=True,
            check=True,
        )
        found = decode(done.stdout, Inside)
        assert before <= found.began <= found.ended <= time.time()
        assert found.tried == [("127.0.0.1", listens, Way.OPEN), ("127.0.0.1", closed, Way.REFUSED)]
        assert ("127.0.0.1", listens) in found.listening
        assert ("127.0.0.1", closed) not in found.listening
        assert 0 < found.memory[1] <= found.memory[0]
        assert 0 <= found.disks["/"][1] <= found.disks["/"][0]
        assert (connect("127.0.0.1", listens), connect("127.0.0.1", closed)) == (Way.OPEN, Way.REFUSED)


def test_it_needs_the_standard_library_alone() -> None:
    source = Path(inside.__file__).read_text(encoding="utf-8")
    assert not [line for line in source.splitlines() if line.startswith(("from infra", "from streaming"))]
    json.dumps(inside.disks())


def test_what_is_reset_before_it_was_seen_to_be_taken_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a forward to a machine that is off: it depends on who is quicker."""

    def reset(*_: object) -> None:
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    monkeypatch.setattr(socket, "create_connection", reset)
    assert connect("127.0.0.1", 2211) is Way.OPEN
