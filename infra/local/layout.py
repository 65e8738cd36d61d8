"""Where the one-machine platform keeps what, below its home."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from pathlib import Path

from streaming.errors import ConfigError

MARK = "VIGIL_SUPERVISED"
"""In the environment of every process of a platform: its home, which tells one platform's processes from another's."""

# struct sockaddr_un holds 108 bytes with the closing zero (unix(7)). The supervisor binds `PATH.PID` first and renames
# it then; a process id has up to seven digits.
SOCKET_PATH_BYTES = 107 - len(".4194304")

SHORT_FOLDER = Path("/tmp")  # noqa: S108 -- what is put there is checked to be private
"""Not TMPDIR: every shell and task must find the same socket."""


class Layout:
    """Paths of one platform. `home` is absolute with no symbolic link in it, so it can serve as the platform's name."""

    def __init__(self, home: Path) -> None:
        self.home = home.resolve()
        self.run = self.home / "run"
        self.logs = self.home / "logs"
        self.airflow = self.home / "airflow"
        self.supervisor_conf = self.run / "supervisord.conf"
        self.supervisor_log = self.logs / "supervisord.out"
        self.supervisor_pid = self.run / "supervisord.pid"
        self.programs = self.run / "programs.json"
        self.secrets = self.home / "secrets.env"

    def make(self) -> None:
        """Makes the folders; those inside the home readable by their owner alone, whoever made them first.

        Raises:
            ConfigError: a folder cannot be made.
        """
        try:
            for folder in (self.home, self.run, self.logs, self.airflow):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                if folder != self.home:
                    folder.chmod(0o700)
        except OSError as error:
            raise ConfigError(
                f"cannot make {error.filename} ({error.strerror})",
                field="VIGIL_HOME",
                remedy="Set it to a folder you may write to",
            ) from error

    def socket(self) -> Path:
        """The supervisor's socket: in `run`, or, where that path is too long for a socket, in a private folder."""
        here = self.run / "supervisor.sock"
        if len(os.fsencode(here)) <= SOCKET_PATH_BYTES:
            return here
        name = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return SHORT_FOLDER / f"vigil-{os.getuid()}-{name}" / "supervisor.sock"

    def make_socket_folder(self) -> Path:
        """The socket's path, its folder made.

        Raises:
            ConfigError: the folder exists but is another user's or open to others (it lies where all may write).
        """
        socket = self.socket()
        if socket.parent != self.run:
            socket.parent.mkdir(mode=0o700, exist_ok=True)
            found = socket.parent.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
                raise ConfigError(
                    f"{socket.parent} is not a private folder of this user",
                    remedy="Remove it, or set VIGIL_HOME to a shorter path",
                )
        return socket

    def remove_socket(self) -> None:
        """Removes what a supervisor that was killed leaves behind, and the socket's folder outside the home.

        Raises:
            ConfigError: it cannot be removed.
        """
        socket = self.socket()
        try:
            socket.unlink(missing_ok=True)
        except NotADirectoryError:
            return  # there is no home at all
        except OSError as error:
            raise ConfigError(
                f"cannot remove {socket} ({error.strerror})", field="VIGIL_HOME", remedy="Is it another user's?"
            ) from error
        if socket.parent != self.run:
            with contextlib.suppress(OSError):
                socket.parent.rmdir()

    def text_log(self, program: str) -> Path:
        """Plain text of a program: its standard output, and all of what Airflow and the servers say."""
        return self.logs / f"{program}.out"

    def json_log(self, program: str) -> Path:
        """JSON lines of a worker: its standard error."""
        return self.logs / f"{program}.jsonl"
