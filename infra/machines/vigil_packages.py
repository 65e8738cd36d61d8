#!/usr/bin/python3 -I
"""`vigil-packages`: installs the packages that a machine's services need from others' repositories, at exact versions.

Installed as /usr/local/sbin/vigil-packages and run through sudo (`infra/machines/sudo_commands.py`); it uses the
standard library alone. It takes no argument, and reads {"PACKAGE": "VERSION", ...} from standard input: packages and
their series are those of the table below, so that its caller can install nothing else.

A repository is believed by its signing keys alone, and a key by its fingerprint: what is fetched must be one OpenPGP
key whose material has the fingerprint and the sha256 that stand here. Of a repository only Vigil's packages are taken
(pinned in apt's preferences), and they are held: nothing but this program upgrades them. The packages' own services
are masked before, since Vigil's units run the same programs. It answers with one JSON object.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MOST_BYTES = 64 * 1024
"""Of a key or of standard input."""
FETCH_WITHIN_S = 30.0
APT_WAITS_S = 300
"""For apt's lock: a machine that has just booted may look for upgrades."""


class Refused(Exception):
    """What was asked for is not done; the text is for a person."""


@dataclass(frozen=True)
class Key:
    """A signing key: where it is fetched, its fingerprint (version 4), and the sha256 of the same key material."""

    url: str
    fingerprint: str
    sha256: str


@dataclass(frozen=True)
class Repository:
    """`{id}` and `{codename}` in its address and suite are the machine's, as in /etc/os-release."""

    uri: str
    suite: str
    component: str
    keys: tuple[Key, ...]
    packages: Mapping[str, str]
    """Name, and the versions that may be asked for (a regular expression)."""


REPOSITORIES: Mapping[str, Repository] = {
    "elastic": Repository(
        "https://artifacts.elastic.co/packages/9.x/apt",
        "stable",
        "main",
        (
            Key(
                "https://artifacts.elastic.co/GPG-KEY-elasticsearch",
                "46095ACC8548582C1A2699A9D27D666CD88E42B4",
                "996df88bdc54175e291b0e6ef4752f87bd8e65c33fd5917bf04272fc60fb2ef7",
            ),
        ),
        dict.fromkeys(("elasticsearch", "kibana"), r"9\.[0-9]{1,3}\.[0-9]{1,3}"),
    ),
    "fluent": Repository(
        "https://fluentd.cdn.cncf.io/lts/6/{id}/{codename}",
        "{codename}",
        "contrib",
        # Both are in the project's own keyring; the second is older, and packages of before 2023 are signed with it.
        (
            Key(
                "https://fluentd.cdn.cncf.io/GPG-KEY-fluent-package",
                "B40948B6A3B80E90F40E841F977D7A0943FA320E",
                "593744591a9fa96043304ff274e63ab4fe1b39589c90e5cb77888b7d0109a2c8",
            ),
            Key(
                "https://fluentd.cdn.cncf.io/GPG-KEY-td-agent",
                "BEE682289B2217F45AF4CC3F901F9177AB97ACBE",
                "529908ca1cafad939c80d680aa325bb329862281d38c22623fefaab8565b87e9",
            ),
        ),
        {"fluent-package": r"6\.0\.[0-9]{1,3}-[0-9]{1,3}"},
    ),
}

OWN_UNITS = {"elasticsearch": "elasticsearch.service", "kibana": "kibana.service", "fluent-package": "fluentd.service"}

VARIABLES = """\
# Vigil's: the folder that its unit names, else the package's own. The package's programs read this file.
ES_PATH_CONF="${VIGIL_ES_PATH_CONF:-/etc/elasticsearch}"
"""


@dataclass(frozen=True)
class Machine:
    """Where things are on a machine; a test gives another `root`, and stand-ins for programs and the network."""

    root: Path
    run: Callable[[Sequence[str]], str]
    fetch: Callable[[str], bytes]

    @property
    def keyrings(self) -> Path:
        return self.root / "etc/apt/keyrings"

    @property
    def sources(self) -> Path:
        return self.root / "etc/apt/sources.list.d"

    @property
    def preferences(self) -> Path:
        return self.root / "etc/apt/preferences.d/vigil"


def wanted(text: bytes) -> dict[str, str]:
    """What standard input asks for.

    Raises:
        Refused: it is of another shape, or a package or version is not among those that Vigil uses.
    """
    try:
        found = json.loads(text)
    except ValueError:
        raise Refused("standard input is no JSON") from None
    if not isinstance(found, dict) or not found:
        raise Refused("standard input is no object of packages and versions")
    allowed = {name: versions for one in REPOSITORIES.values() for name, versions in one.packages.items()}
    for name, version in found.items():
        if name not in allowed:
            raise Refused(f"{name!r} is none of {', '.join(sorted(allowed))}")
        if not isinstance(version, str) or not re.fullmatch(allowed[name], version):
            raise Refused(f"{name}: {version!r} is no version that Vigil is made for")
    return found


def install(machine: Machine, asked: Mapping[str, str]) -> dict[str, object]:
    """Makes the packages be there at these versions; does nothing where they are.

    Raises:
        Refused: a key is another, apt fails, or a version is not to be had.
    """
    prepared = [name for name, one in REPOSITORIES.items() if not one.packages.keys().isdisjoint(asked)]
    for name in prepared:
        prepare(machine, name)
    put(machine.preferences, preferences(asked))
    before = installed(machine, asked)
    changed = sorted(name for name, version in asked.items() if before.get(name) != version)
    if changed:
        machine.run(["systemctl", "mask", "--quiet", *(OWN_UNITS[name] for name in sorted(asked))])
        apt = ["apt-get", "--quiet", "--yes", "-o", f"DPkg::Lock::Timeout={APT_WAITS_S}"]
        machine.run([*apt, "-o", "APT::Update::Error-Mode=any", "update"])
        exact = [f"{name}={asked[name]}" for name in changed]
        options = ["--no-install-recommends", "--allow-downgrades", "--allow-change-held-packages"]
        machine.run([*apt, "-o", "Dpkg::Options::=--force-confold", "install", *options, *exact])
    machine.run(["apt-mark", "hold", *sorted(asked)])
    if "elasticsearch" in asked:
        put(machine.root / "etc/default/elasticsearch", VARIABLES)
    return {"installed": dict(sorted(asked.items())), "changed": changed}


def installed(machine: Machine, names: Mapping[str, str]) -> dict[str, str]:
    """Versions of those that are there whole."""
    query = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package} ${Version}\\n"]
    lines = [line.split() for line in machine.run(query).splitlines()]
    return {line[1]: line[2] for line in lines if len(line) == 3 and line[0] == "installed" and line[1] in names}


def prepare(machine: Machine, name: str) -> None:
    """Writes a repository's keyring and its source, if they are not there as they should be."""
    repository = REPOSITORIES[name]
    keyring = machine.keyrings / f"vigil-{name}.gpg"
    if not keyring.is_file() or not holds(keyring.read_bytes(), repository.keys):
        put(keyring, b"".join(checked(machine.fetch(key.url), key) for key in repository.keys))
    put(machine.sources / f"vigil-{name}.sources", source(repository, keyring_path(name), release(machine)))


def keyring_path(name: str) -> str:
    return f"/etc/apt/keyrings/vigil-{name}.gpg"


def source(repository: Repository, keyring: str, named: Mapping[str, str]) -> str:
    """A source in apt's own form (deb822)."""
    fields = {
        "Types": "deb",
        "URIs": repository.uri.format(**named),
        "Suites": repository.suite.format(**named),
        "Components": repository.component,
        "Signed-By": keyring,
    }
    return "".join(f"{key}: {value}\n" for key, value in fields.items())


def preferences(asked: Mapping[str, str]) -> str:
    """apt's preferences: the asked versions and no others, and of these repositories nothing else."""
    hosts = sorted({one.uri.split("/")[2] for one in REPOSITORIES.values()})
    lines = [
        f"Package: {name}\nPin: version {version}\nPin-Priority: 1001\n" for name, version in sorted(asked.items())
    ]
    lines += [f'Package: *\nPin: origin "{host}"\nPin-Priority: -1\n' for host in hosts]
    return "\n".join(lines)


def release(machine: Machine) -> dict[str, str]:
    """`id` and `codename` of the machine's distribution."""
    text = (machine.root / "etc/os-release").read_text(encoding="utf-8")
    found = dict(re.findall(r'^(ID|VERSION_CODENAME)="?([a-z0-9]{1,30})"?$', text, re.MULTILINE))
    if set(found) != {"ID", "VERSION_CODENAME"}:
        raise Refused("/etc/os-release names no distribution and no code name")
    return {"id": found["ID"], "codename": found["VERSION_CODENAME"]}


def checked(text: bytes, key: Key) -> bytes:
    """The key in its binary form.

    Raises:
        Refused: it is another, more than one, or none.
    """
    binary = dearmoured(text) if text.lstrip().startswith(b"-----BEGIN") else text
    if not holds(binary, (key,)):
        raise Refused(f"{key.url} is not the key {key.fingerprint}; nothing was installed")
    return binary


def holds(binary: bytes, keys: Sequence[Key]) -> bool:
    """Whether these are exactly the primary keys that a keyring holds, in this order."""
    try:
        found = [body for tag, body in packets(binary) if tag == PUBLIC_KEY]
    except (IndexError, ValueError):
        return False
    return [(fingerprint(body), hashlib.sha256(body).hexdigest()) for body in found] == [
        (key.fingerprint, key.sha256) for key in keys
    ]


PUBLIC_KEY = 6


def fingerprint(body: bytes) -> str:
    """Of a key of version 4 (RFC 4880, 12.2)."""
    if body[:1] != b"\x04":
        raise ValueError("no key of version 4")
    # The standard's own; what a key is known by here is the sha256 beside it.
    return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False).hexdigest().upper()


def packets(binary: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and body of each OpenPGP packet (RFC 4880, 4.2).

    Raises:
        ValueError, IndexError: it is not whole, or of a form that no key has.
    """
    at = 0
    while at < len(binary):
        head = binary[at]
        at += 1
        if not head & 0x80:
            raise ValueError("no packet")
        if head & 0x40:
            tag, first = head & 0x3F, binary[at]
            width = 1 if first < 192 else 2 if first < 224 else 5
            if 224 <= first < 255:
                raise ValueError("a packet of unknown length")
            raw = binary[at : at + width]
            length = first if width == 1 else ((first - 192) << 8) + raw[1] + 192
            length = int.from_bytes(raw[1:], "big") if width == 5 else length
        else:
            tag, width = (head >> 2) & 0x0F, {0: 1, 1: 2, 2: 4}.get(head & 3, 0)
            if not width:
                raise ValueError("a packet of unknown length")
            length = int.from_bytes(binary[at : at + width], "big")
        at += width
        if at + length > len(binary):
            raise ValueError("a packet is cut short")
        yield tag, binary[at : at + length]
        at += length


def dearmoured(text: bytes) -> bytes:
    """The binary form of an ASCII-armoured block; the checksum at its end is left to the fingerprint."""
    match = re.search(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)-----END", text, re.DOTALL)
    body = re.split(rb"\r?\n[ \t]*\r?\n", match[1], maxsplit=1)[-1] if match else b""
    lines = [line for line in body.splitlines() if not line.startswith(b"=")]
    try:
        return base64.b64decode(b"".join(lines), validate=True)
    except binascii.Error:
        return b""


def put(place: Path, content: str | bytes) -> None:
    """Replaces a file: whole or not at all."""
    data = content.encode() if isinstance(content, str) else content
    if place.is_file() and place.read_bytes() == data:
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_name(f".{place.name}.vigil-part")
    draft.write_bytes(data)
    draft.chmod(0o644)
    draft.replace(place)


def fetch(url: str) -> bytes:
    """What an https address gives.

    Raises:
        Refused: nothing within the time, or too much.
    """
    try:
        with urllib.request.urlopen(url, timeout=FETCH_WITHIN_S) as answer:  # noqa: S310 - the table's addresses alone
            found: bytes = answer.read(MOST_BYTES + 1)
    except (OSError, urllib.error.URLError) as error:
        raise Refused(f"{url} cannot be fetched: {error}. The machine needs the internet, and a name server") from error
    if len(found) > MOST_BYTES:
        raise Refused(f"{url} is no key: more than {MOST_BYTES} bytes")
    return found


def run_program(command: Sequence[str]) -> str:
    """Runs a program of the machine in an environment that the caller had no part in.

    Raises:
        Refused: it failed; the text has its own last words. What apt prints of a package's installation is not passed
            on where it succeeds: Elasticsearch's shows a password there (of a configuration that is not used).
    """
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"}
    environment["DEBIAN_FRONTEND"] = "noninteractive"
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd="/"
    )
    if done.returncode:
        said = " ".join(line for line in done.stderr.splitlines() if line.startswith(("E:", "W:", "dpkg:")))
        raise Refused(f"{command[0]} failed with status {done.returncode}: {said[-1000:] or 'no reason given'}")
    return done.stdout


def main() -> None:
    """Entry point."""
    os.umask(0o022)
    machine = Machine(Path("/"), run_program, fetch)
    try:
        answer = install(machine, wanted(sys.stdin.buffer.read(MOST_BYTES)))
    except (Refused, OSError) as error:
        print(f"vigil-packages: {error}", file=sys.stderr)
        sys.exit(1)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
