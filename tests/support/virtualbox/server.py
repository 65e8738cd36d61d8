"""Makes calls for the executable: each in a fork of a process that has everything loaded.

`python server.py SOCKET` serves until its standard input ends. Calls are made in this process's network namespace, so
what boots machines does without a server.
"""

from __future__ import annotations

import marshal
import os
import select
import signal
import socket
import sys
from pathlib import Path

if __package__ in (None, ""):  # called by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.support.virtualbox import main


def serve(path: str) -> None:
    """Serves on a socket file."""
    # Forks that have ended need no burial.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(path)
        listening.listen(16)
        print("listening", flush=True)
        while True:
            ready, _, _ = select.select([listening, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            connection, _ = listening.accept()
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                listening.close()
                _answer(connection)
                os._exit(0)
            connection.close()


def _answer(connection: socket.socket) -> None:
    with connection, connection.makefile("rb") as read:
        length = int.from_bytes(read.read(4), "big")
        arguments, environment = marshal.loads(read.read(length))
        os.environ.clear()
        os.environ.update(environment)
        answer = main.run(arguments)
        try:
            connection.sendall(marshal.dumps((answer.status, answer.out, answer.err)))
        except BrokenPipeError:
            return  # it was killed meanwhile


if __name__ == "__main__":
    serve(sys.argv[1])
