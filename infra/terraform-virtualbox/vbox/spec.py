"""What a command is asked to make, read from JSON. Every field is checked here, once.

The JSON is an object with `owner` and `state_dir` and, as the command needs them, `network`, `forwards`, `machine`,
`image` and `seed`; the classes below name their fields. Terraform writes it (`main.tf`), and a person may.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from vbox.errors import BadSpec
from vbox.facts import Forward

FORMATS = ("auto", "vmdk", "vdi", "raw", "ova", "tar.xz")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_CHECKSUM = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True)
class NetworkSpec:
    """A NAT network. `ports` are all host ports of the deployment, checked before anything is made."""

    name: str
    cidr: str
    ports: tuple[int, ...]


@dataclass(frozen=True)
class ImageSpec:
    """A cloud image. `source` is an absolute path or an https URL, `algorithm` sha256 or sha512."""

    source: str
    algorithm: str
    digest: str
    format: str


@dataclass(frozen=True)
class MachineSpec:
    """A machine: `name` in the deployment, `vm_name` in VirtualBox. Another `fingerprint` means: to be made anew."""

    name: str
    vm_name: str
    os_type: str
    cpus: int
    memory_mb: int
    disk_gb: int
    mac: str
    fingerprint: str
    stop_timeout_s: int


class Reader:
    """One JSON object and its place, for errors that name the field."""

    def __init__(self, value: object, place: str = "") -> None:
        if not isinstance(value, dict):
            raise BadSpec(f"{place or 'the whole'} is no JSON object")
        self._value = {str(key): item for key, item in value.items()}
        self._place = place

    def _get(self, key: str) -> object:
        if key not in self._value:
            raise BadSpec(f"{self._place}{key} is missing")
        return self._value[key]

    def has(self, key: str) -> bool:
        """Whether the field is there."""
        return self._value.get(key) is not None

    def text(self, key: str, pattern: re.Pattern[str] | None = None) -> str:
        """A text that is not empty."""
        value = self._get(key)
        if not isinstance(value, str) or not value or "\0" in value:
            raise BadSpec(f"{self._place}{key} is no text")
        if pattern is not None and not pattern.fullmatch(value):
            raise BadSpec(f"{self._place}{key} is not of the form {pattern.pattern}")
        return value

    def name(self, key: str = "name") -> str:
        """A text that is safe as a file name and in VBoxManage's lists."""
        return self.text(key, _NAME)

    def number(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number within bounds."""
        value = self._get(key) if default is None else self._value.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BadSpec(f"{self._place}{key} is no whole number from {low} to {high}")
        return value

    def items(self, key: str) -> list[object]:
        """A list; a missing one is empty."""
        value = self._value.get(key, [])
        if not isinstance(value, list):
            raise BadSpec(f"{self._place}{key} is no list")
        return list(value)

    def object(self, key: str) -> Reader:
        """A nested object."""
        return Reader(self._get(key), f"{self._place}{key}.")

    def objects(self, key: str) -> dict[str, Reader]:
        """A nested object of objects; a missing one is empty."""
        value = self._value.get(key, {})
        if not isinstance(value, dict):
            raise BadSpec(f"{self._place}{key} is no JSON object")
        return {str(name): Reader(item, f"{self._place}{key}.{name}.") for name, item in value.items()}


class Spec:
    """All that one command is asked for. Parts are read when a command needs them."""

    def __init__(self, text: str) -> None:
        try:
            self.root = Reader(json.loads(text))
        except ValueError as error:
            raise BadSpec(f"what is asked for is no JSON: {error}") from None
        self.owner = self.root.text("owner", re.compile(r"[^\n]{1,500}"))
        self.state_dir = Path(self.root.text("state_dir"))
        if not self.state_dir.is_absolute():
            raise BadSpec("state_dir is no absolute path")

    def folder(self, machine: str) -> Path:
        """The folder of a machine: its console, its seed, and what VirtualBox keeps of it."""
        return self.state_dir / "machines" / machine

    @property
    def network(self) -> NetworkSpec:
        """The network."""
        reader = self.root.object("network")
        ports = tuple(_port(item) for item in reader.items("ports"))
        return NetworkSpec(reader.name(), reader.text("cidr"), ports)

    @property
    def forwards(self) -> tuple[Forward, ...]:
        """Port forwards, each `{name, host_port, guest_address, guest_port}`."""
        return tuple(forward(item, f"forwards[{at}].") for at, item in enumerate(self.root.items("forwards")))

    @property
    def image(self) -> ImageSpec:
        """The image."""
        reader = self.root.object("image")
        source = reader.text("source")
        if "://" in source:
            if not source.startswith("https://"):
                raise BadSpec(f"image.source {source!r} is no https URL")
        elif not Path(source).is_absolute():
            raise BadSpec(f"image.source {source!r} is neither an absolute path nor an https URL")
        found = _CHECKSUM.fullmatch(reader.text("checksum").lower())
        if found is None:
            raise BadSpec("image.checksum is neither sha256: and 64 hex digits nor sha512: and 128")
        kind = reader.text("format") if reader.has("format") else "auto"
        if kind not in FORMATS:
            raise BadSpec(f"image.format {kind!r} is none of {', '.join(FORMATS)}")
        return ImageSpec(source, found[1] or found[3], found[2] or found[4], kind)

    @property
    def machine(self) -> MachineSpec:
        """The machine that is to be made."""
        reader = self.root.object("machine")
        return MachineSpec(
            name=reader.name(),
            vm_name=reader.name("vm_name"),
            os_type=reader.text("os_type", re.compile(r"[A-Za-z0-9_]+")),
            cpus=reader.number("cpus", 1, 256),
            memory_mb=reader.number("memory_mb", 256, 4 * 1024 * 1024),
            disk_gb=reader.number("disk_gb", 1, 2048),
            mac=reader.text("mac", _MAC),
            fingerprint=reader.text("fingerprint", re.compile(r"[0-9a-f]{8,128}")),
            stop_timeout_s=reader.number("stop_timeout_s", 0, 3600, default=60),
        )

    @property
    def existing(self) -> tuple[str, str, int]:
        """Of a machine that is to be removed, started or stopped: name, name in VirtualBox, time-out of a stop in s."""
        reader = self.root.object("machine")
        return reader.name(), reader.name("vm_name"), reader.number("stop_timeout_s", 0, 3600, default=60)

    @property
    def seed(self) -> dict[str, str]:
        """File names of the seed to their contents."""
        reader = self.root.object("seed")
        return {name: reader.text(name) for name in ("meta-data", "user-data", "network-config")}


def forward(value: object, place: str) -> Forward:
    """One port forward from JSON."""
    reader = Reader(value, place)
    return Forward(
        name=reader.name(),
        host_port=reader.number("host_port", 1, 65535),
        guest_address=reader.text("guest_address", re.compile(r"\d{1,3}(\.\d{1,3}){3}")),
        guest_port=reader.number("guest_port", 1, 65535),
    )


def _port(value: object) -> int:
    return Reader({"port": value}, "network.ports.").number("port", 1, 65535)
