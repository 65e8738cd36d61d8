"""Software for a machine of a test: a wheel with stand-ins of Vigil's workers, and uv's program in another."""

from __future__ import annotations

import base64
import hashlib
import shutil
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from streaming.settings import CHECKOUT

_WORKER = '''\
"""A stand-in of a worker that tells systemd what the real ones tell, by their own code."""
import os, pathlib, signal, sys, time
from streaming.worker.health import Health
from streaming.worker.notify import Notifier

name, home = sys.argv[0].split("/")[-2], pathlib.Path(os.environ["VIGIL_HOME"])
'''

_PROLOGUE = """\
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
notifier, health = Notifier(), Health(name, "kafka")
health.set("kafka", True)
notifier.ready()
print("started", flush=True)
"""

_ROUNDS = """\
while not stop:
    time.sleep(0.05)
    health.came_round()
    notifier.look([health])
notifier.stopping()
print("stopped", flush=True)
"""

# What it may and may not do, told in its journal.
_LOOK = """\
def tried(what, act):
    try:
        act()
        print(what, "works", flush=True)
    except OSError:
        print(what, "refused", flush=True)
print("user", os.getuid() != 0, "home", home, flush=True)
secret = pathlib.Path(os.environ["CREDENTIALS_DIRECTORY"], "kafka_password").read_text()
print("secret", len(secret), "setting", os.environ["VIGIL_TOPIC_PREFIX"], flush=True)
tried("state", lambda: (home / "state").write_text("x"))
tried("program", lambda: pathlib.Path(__file__).write_text("x"))
tried("configuration", lambda: pathlib.Path("/etc/vigil/vigil.env").write_text("x"))
tried("credentials", lambda: list(pathlib.Path("/etc/vigil/credentials").iterdir()))
tried("others", lambda: pathlib.Path("/var/lib/vigil/other").mkdir())
"""

BEHAVIOURS: Mapping[str, str] = {
    # Whole and well.
    "streaming/indexer": _WORKER + _LOOK + _PROLOGUE + _ROUNDS,
    # Is killed at its first start, and is well at the second.
    "streaming/heartbeat": _WORKER
    + 'if not (home / "tried").exists():\n    (home / "tried").touch()\n'
    + '    print("about to be killed", flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)\n'
    + _PROLOGUE
    + _ROUNDS,
    # Cannot work with its configuration.
    "streaming/templates": 'import sys\nprint("vigil: vigil.toml:3: kafka_port: is no port", file=sys.stderr)\n'
    "sys.exit(78)\n",
    # Hangs as soon as it has started, until a file says that it should not.
    "streaming/alerting/manager": _WORKER
    + _PROLOGUE
    + 'while not (home / "well").exists():\n    (home / "well").touch()\n    time.sleep(600)\n'
    + _ROUNDS,
}
"""Stand-ins by their modules; each is run as `python -m MODULE`."""


def write_software(folder: Path) -> None:
    """`requirements.txt`, `wheels/` and `jars/`, as a deployment uploads them."""
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    (folder / "jars").mkdir()
    (folder / "jars" / "one.jar").write_text("jar")
    files = {f"{module}/__main__.py": text for module, text in BEHAVIOURS.items()}
    packages = {str(parent) for module in BEHAVIOURS for parent in (Path(module), *Path(module).parents)} - {"."}
    files |= {f"{package}/__init__.py": "" for package in {*packages, "streaming/worker"}}
    for name in ("health", "notify"):
        files[f"streaming/worker/{name}.py"] = (CHECKOUT / "streaming" / "worker" / f"{name}.py").read_text("utf-8")
    wheel = _wheel(wheels, files)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (folder / "requirements.txt").write_text(f"standin==1.0 --hash=sha256:{digest}\n")
    program = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    assert program
    with zipfile.ZipFile(wheels / "uv-1.0-py3-none-any.whl", "w") as archive:
        archive.write(program, "uv-1.0.data/scripts/uv")


def _wheel(folder: Path, files: dict[str, str]) -> Path:
    info = "standin-1.0.dist-info"
    files |= {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: standin\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = [f"{name},sha256={_digest(text)},{len(text.encode())}" for name, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""])
    place = folder / "standin-1.0-py3-none-any.whl"
    with zipfile.ZipFile(place, "w") as archive:
        for name, text in files.items():
            # A fixed time, so that the same content is the same file.
            archive.writestr(zipfile.ZipInfo(name), text)
    return place


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
