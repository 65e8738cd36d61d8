"""The executable's program: asks the server that VBOX_EMULATED_SOCKET names, else does the work itself."""

import os
import sys


def asked(path: str, arguments: list[str]) -> int:
    """Has a server make the call (`server`). Imports next to nothing: a call takes 20 ms of a core, not 130."""
    import _socket
    import marshal

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.connect(path)
    request = marshal.dumps((arguments, dict(os.environ)))
    connection.send(len(request).to_bytes(4, "big"))
    while request:
        request = request[connection.send(request) :]
    answer = b""
    while part := connection.recv(1 << 16):
        answer += part
    status, out, err = marshal.loads(answer)
    sys.stdout.write(out)
    sys.stderr.write(err)
    return int(status)


def main() -> int:
    """The executable."""
    path = os.environ.get("VBOX_EMULATED_SOCKET")
    if path:
        return asked(path, sys.argv[1:])
    sys.path.insert(0, os.path.realpath(os.path.join(os.path.dirname(__file__), "../../..")))  # noqa: PTH118, PTH120
    from tests.support.virtualbox import main as emulator

    return emulator.main()


if __name__ == "__main__":
    sys.exit(main())
