"""Packages of other makers: nothing but Vigil's, no key without a check, and a second run does nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.machines import vigil_packages
from infra.machines.packages import SERVICES, VERSIONS
from infra.machines.vigil_packages import (
    OWN_UNITS,
    REPOSITORIES,
    Key,
    Machine,
    Refused,
    Repository,
    checked,
    dearmoured,
    fingerprint,
    holds,
    install,
    packets,
    preferences,
    wanted,
)


def packet(tag: int, body: bytes) -> bytes:
    """In the old form, with a length of two bytes, as gpg writes keys."""
    return bytes([0x80 | tag << 2 | 1]) + len(body).to_bytes(2, "big") + body


def body(seed: int) -> bytes:
    return b"\x04" + seed.to_bytes(4, "big") + b"\x01" + bytes(range(200))


def key(seed: int, url: str = "https://keys/one") -> Key:
    return Key(url, fingerprint(body(seed)), hashlib.sha256(body(seed)).hexdigest())


def armoured(binary: bytes) -> bytes:
    block = "PGP PUBLIC KEY BLOCK-----"
    lines = base64.encodebytes(binary).decode()
    return f"-----BEGIN {block}\nVersion: 1\n\n{lines}=abcd\n-----END {block}\n".encode()


USER_ID, SUBKEY = packet(13, b"Somebody"), packet(14, body(99))


def test_a_key_is_taken_by_its_fingerprint_and_sum_alone() -> None:
    right = packet(6, body(1)) + USER_ID + SUBKEY
    assert checked(armoured(right), key(1)) == checked(right, key(1)) == right
    for wrong in (
        packet(6, body(2)) + USER_ID,
        right + packet(6, body(2)),  # a second key comes with it
        b"",
        b"<html>not found</html>",
        armoured(right)[:200],
        right[:50],
    ):
        with pytest.raises(Refused, match="is not the key"):
            checked(wrong, key(1))
    with pytest.raises(Refused):
        checked(right, Key("u", key(1).fingerprint, "0" * 64))


@given(st.binary(max_size=300))
def test_whatever_is_fetched_is_read_without_an_accident(raw: bytes) -> None:
    assert not holds(raw, (key(1),))
    assert not holds(dearmoured(raw), (key(1),))


@given(st.lists(st.tuples(st.sampled_from([6, 13, 14]), st.binary(max_size=9_000)), max_size=4), st.booleans())
def test_packets_of_both_forms_are_told_apart(found: list[tuple[int, bytes]], new: bool) -> None:
    def written(tag: int, content: bytes) -> bytes:
        size = len(content)
        if not new:
            return packet(tag, content)
        length = bytes([size]) if size < 192 else b"\xff" + size.to_bytes(4, "big")
        if 192 <= size < 8384:
            length = bytes([((size - 192) >> 8) + 192, (size - 192) & 0xFF])
        return bytes([0xC0 | tag]) + length + content

    assert list(packets(b"".join(written(*one) for one in found))) == found


@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not here")
def test_gpg_gives_the_same_fingerprint(tmp_path: Path) -> None:
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    base = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--no-autostart"]
    whole = packet(6, b"\x04\x00\x00\x00\x01\x01" + b"\x00\x08\xff" + b"\x00\x02\x03") + USER_ID
    (tmp_path / "key").write_bytes(whole)
    said = subprocess.run(
        [*base, "--with-colons", "--show-keys", str(tmp_path / "key")], capture_output=True, text=True, check=False
    ).stdout
    (_, content), _ = packets(whole)
    assert f"fpr:::::::::{fingerprint(content)}:" in said


@dataclass
class Fake:
    """A machine whose programs do nothing but keep what they were asked."""

    commands: list[list[str]] = field(default_factory=list)
    there: dict[str, str] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    keys: dict[str, bytes] = field(default_factory=dict)

    def run(self, command: Sequence[str]) -> str:
        self.commands.append(list(command))
        if command[0] == "dpkg-query":
            return "".join(f"installed {name} {version}\n" for name, version in self.there.items())
        if command[0] == "apt-get" and "install" in command:
            self.there |= dict(one.split("=") for one in command if "=" in one and not one.startswith("D"))
        return ""

    def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        return self.keys[url]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Machine, Fake]:
    made = Fake()
    repositories = {}
    for number, (name, one) in enumerate(REPOSITORIES.items()):
        keys = tuple(key(10 * number + at, url=k.url) for at, k in enumerate(one.keys))
        made.keys |= {k.url: armoured(packet(6, body(10 * number + at)) + USER_ID) for at, k in enumerate(keys)}
        repositories[name] = Repository(one.uri, one.suite, one.component, keys, one.packages)
    monkeypatch.setattr(vigil_packages, "REPOSITORIES", repositories)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text('ID=debian\nVERSION_CODENAME="bookworm"\nNAME="Debian"\n')
    return Machine(tmp_path, made.run, made.fetch), made


def test_packages_are_installed_once_at_exact_versions_and_held(fake: tuple[Machine, Fake]) -> None:
    machine, programs = fake
    answer = install(machine, VERSIONS)
    assert answer == {"installed": dict(sorted(VERSIONS.items())), "changed": sorted(VERSIONS)}
    asked = [command for command in programs.commands if command[0] != "dpkg-query"]
    assert asked[0][:2] == ["systemctl", "mask"]
    assert set(asked[0][3:]) == set(OWN_UNITS.values())
    assert asked[1][-1] == "update"
    assert asked[2][-3:] == [f"{name}={VERSIONS[name]}" for name in sorted(VERSIONS)]
    assert asked[3] == ["apt-mark", "hold", *sorted(VERSIONS)]
    source = (machine.sources / "vigil-fluent.sources").read_text()
    assert source == (
        "Types: deb\nURIs: https://fluentd.cdn.cncf.io/lts/6/debian/bookworm\nSuites: bookworm\nComponents: contrib\n"
        "Signed-By: /etc/apt/keyrings/vigil-fluent.gpg\n"
    )
    assert "VIGIL_ES_PATH_CONF" in (machine.root / "etc/default/elasticsearch").read_text()

    programs.commands.clear()
    programs.fetched.clear()
    assert install(machine, VERSIONS)["changed"] == []
    assert programs.fetched == []
    assert [command[0] for command in programs.commands] == ["dpkg-query", "apt-mark"]


def test_a_run_that_was_cut_off_goes_on_and_an_upgrade_takes_what_is_new(fake: tuple[Machine, Fake]) -> None:
    machine, programs = fake
    programs.there = {"elasticsearch": VERSIONS["elasticsearch"]}
    assert install(machine, VERSIONS)["changed"] == ["fluent-package", "kibana"]
    assert install(machine, {"elasticsearch": "9.6.0"})["changed"] == ["elasticsearch"]


def test_another_key_installs_nothing(fake: tuple[Machine, Fake]) -> None:
    machine, programs = fake
    programs.keys[REPOSITORIES["elastic"].keys[0].url] = packet(6, body(77))
    with pytest.raises(Refused, match="nothing was installed"):
        install(machine, VERSIONS)
    assert programs.commands == []
    assert not machine.sources.exists()


def test_a_keyring_that_was_changed_by_hand_is_made_anew(fake: tuple[Machine, Fake]) -> None:
    machine, _ = fake
    install(machine, VERSIONS)
    keyring = machine.keyrings / "vigil-elastic.gpg"
    kept = keyring.read_bytes()
    keyring.write_bytes(kept + packet(6, body(77)))
    install(machine, VERSIONS)
    assert keyring.read_bytes() == kept


@pytest.mark.parametrize(
    "asked",
    [
        b"",
        b"[]",
        b"{}",
        b'{"openssh-server": "1"}',
        b'{"kibana": "8.19.0"}',
        b'{"kibana": 9}',
        b'{"kibana": "9.5.3 && reboot"}',
        b'{"fluent-package": "7.0.0-1"}',
        b'{"-o=APT::x=y": "9.5.3"}',
    ],
)
def test_nothing_else_can_be_asked_for(asked: bytes) -> None:
    with pytest.raises(Refused):
        wanted(asked)


def test_what_a_deployment_asks_for_is_let_through() -> None:
    assert wanted(json.dumps(VERSIONS).encode()) == dict(VERSIONS)
    assert set(VERSIONS) == set(OWN_UNITS) == set(SERVICES)


def test_of_the_repositories_nothing_but_the_asked_versions_is_taken() -> None:
    text = preferences({"kibana": "9.5.3"})
    stanzas = [dict(line.split(": ", 1) for line in one.splitlines()) for one in text.split("\n\n")]
    assert {"Package": "kibana", "Pin": "version 9.5.3", "Pin-Priority": "1001"} in stanzas
    hosts = {one["Pin"] for one in stanzas if one["Package"] == "*" and one["Pin-Priority"] == "-1"}
    assert hosts == {'origin "artifacts.elastic.co"', 'origin "fluentd.cdn.cncf.io"'}


@pytest.mark.skipif(shutil.which("apt-cache") is None, reason="apt is not here")
def test_apt_reads_sources_and_preferences(fake: tuple[Machine, Fake], tmp_path: Path) -> None:
    machine, _ = fake
    install(machine, VERSIONS)
    places = {
        "Dir::Etc": tmp_path / "etc/apt",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": machine.sources,
        "Dir::Etc::preferencesparts": machine.preferences.parent,
        "Dir::State": tmp_path / "state",
        "Dir::Cache": tmp_path / "cache",
    }
    options = [word for name, place in places.items() for word in ("-o", f"{name}={place}")]
    (tmp_path / "state/lists/partial").mkdir(parents=True)

    def said(*command: str) -> str:
        done = subprocess.run([command[0], *options, *command[1:]], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout

    asked = said("apt-get", "--print-uris", "update")
    assert "'https://artifacts.elastic.co/packages/9.x/apt/dists/stable/InRelease'" in asked
    assert "'https://fluentd.cdn.cncf.io/lts/6/debian/bookworm/dists/bookworm/InRelease'" in asked
    said("apt-cache", "policy")
