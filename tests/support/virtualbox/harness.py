"""What tests of the VBoxManage wrapper share: an emulated VirtualBox, in this process or as an executable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vbox.errors import VboxError
from vbox.manage import SHORT_S, Interruptions, failure
from vbox.spec import Spec

from tests.support.virtualbox import main, media, model, server
from tests.support.virtualbox.model import State

EXECUTABLE = Path(__file__).parent / "VBoxManage"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "A" * 43 + " tests"


@dataclass
class Emulated(Interruptions):
    """An emulated VirtualBox whose state is in `home`. Called, it is the wrapper's `Manage` in this process."""

    home: Path
    said: list[str] = field(default_factory=list)
    socket: str | None = None
    """Of a server for the executable (`serving`)."""

    def __post_init__(self) -> None:
        super().__init__()
        self.home.mkdir(parents=True, exist_ok=True)

    def __call__(self, *arguments: str, doing: str, timeout_s: float = SHORT_S) -> str:
        self.check()
        answer = self.run(*arguments)
        if answer.status:
            raise failure(doing, answer.status, answer.err)
        return answer.out

    def run(self, *arguments: str) -> main.Answer:
        """One call of VBoxManage, by a person or the wrapper."""
        with self._here():
            return main.run(list(arguments))

    def say(self, line: str) -> None:
        """Keeps what the wrapper says."""
        self.said.append(line)

    def environment(self) -> dict[str, str]:
        """For processes that call the executable."""
        return {
            model.HOME: str(self.home),
            "VIGIL_VBOXMANAGE": str(EXECUTABLE),
            "VBOX_EMULATED_PYTHON": sys.executable,
            **({"VBOX_EMULATED_SOCKET": self.socket} if self.socket else {}),
        }

    @property
    def state(self) -> State:
        """What there is."""
        with self._here():
            return model.load()

    @property
    def calls(self) -> list[list[str]]:
        """All calls so far."""
        return main.calls(self.home)

    def fail(self, **wanted: object) -> None:
        """Asks for a failure (`failures.Wanted`)."""
        (self.home / "fail.json").write_text(json.dumps(wanted), encoding="utf-8")

    def heal(self) -> None:
        """Asks for no failure any more."""
        (self.home / "fail.json").unlink(missing_ok=True)

    def forget_calls(self) -> None:
        """Begins the record anew."""
        (self.home / "begun.jsonl").unlink(missing_ok=True)

    def assert_empty(self) -> None:
        """Nothing is left in VirtualBox: no machine, network, medium, mark."""
        state = self.state
        assert (state.machines, state.networks, state.media, state.extra) == ({}, {}, [], {})

    @contextmanager
    def _here(self) -> Iterator[None]:
        before = os.environ.get(model.HOME)
        os.environ[model.HOME] = str(self.home)
        try:
            yield
        finally:
            if before is None:
                del os.environ[model.HOME]
            else:
                os.environ[model.HOME] = before


@contextmanager
def serving() -> Iterator[str]:
    """A server that makes the executable's calls, four times as fast; its socket."""
    with tempfile.TemporaryDirectory(prefix="vbox-") as folder:  # pytest's own folders are too long for a socket
        socket = f"{folder}/socket"
        process = subprocess.Popen(
            [sys.executable, "-S", str(Path(server.__file__)), socket], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == b"listening\n"
            yield socket
            process.stdin.close()
            process.wait(30)


def image(folder: Path, kind: str = "vmdk") -> Path:
    """A small file that begins as an image of that kind."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"small.{kind}"
    head = {"vmdk": media.VMDK_HEAD, "vdi": media.VDI_HEAD, "qcow2": b"QFI\xfb\0\0\0\3"}.get(kind, b"\xeb\x63\x90")
    file.write_bytes(head + b"small image" * 100)
    return file


def port_bases(free_port: Callable[[int], int]) -> dict[str, int]:
    """The variable of that name, so that the host ports of machines 11 and 12 are this test's alone."""
    return {name: free_port(2) - 11 for name in ("ssh", "kafka", "elasticsearch", "kibana")}


def failing(call: Callable[[], None]) -> VboxError | None:
    """The error of a call, None where it succeeds."""
    try:
        call()
    except VboxError as error:
        return error
    return None


def spec(value: dict[str, object]) -> Spec:
    """What a command is asked for."""
    return Spec(json.dumps(value))
