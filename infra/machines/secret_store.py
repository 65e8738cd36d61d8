"""The secrets of one deployment: made at first use, kept in files of their owner alone, the same at every deployment.

They leave the folder only over SSH's standard input, into files of root on the machines, and from there as credentials
of units.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from cryptography import x509

from infra.local.kafka import random_id
from infra.machines import secret_file
from infra.machines.certificates import Authority, Clock, Issued, life, utc_now
from infra.machines.elastic.kept import Kept
from infra.machines.secret_file import PASSWORD_BYTES
from streaming.files import write_private


class _Kept(msgspec.Struct):
    cluster_id: str
    passwords: dict[str, str] = {}
    next: dict[str, str] = {}
    forgotten: list[str] = []
    receivers: dict[str, str] = {}


class SecretStore:
    """Files are replaced whole, and read at each use: a program that runs on while another rotates goes on with what is
    there. One at a time may change something.

    Raises:
        ConfigError: a file cannot be read or written, or others may read it.
    """

    def __init__(self, folder: Path, deployment: str, clock: Clock = utc_now) -> None:
        self._folder, self._file, self._clock = folder, folder / "secrets.json", clock
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._deployment = deployment
        assert self.issuer.certificate_path  # made where there is none
        self.elastic = Kept(folder / "elasticsearch.json")
        self._kept = self._read()

    @property
    def authority(self) -> Path:
        """The certificates of all authorities that are trusted (PEM), which are no secret."""
        return self.issuer.certificate_path

    @property
    def issuer(self) -> Authority:
        """Who signs certificates now.

        Raises:
            ConfigError: as `Authority`.
        """
        return Authority(self._folder / "ca", self._deployment, self._clock)

    def now(self) -> datetime:
        """By its clock (UTC)."""
        return self._clock()

    @property
    def cluster_id(self) -> str:
        """Kafka's; a new one for a cluster that is made anew (`forget_cluster`)."""
        return self._kept.cluster_id

    @property
    def forgotten_clusters(self) -> tuple[str, ...]:
        """Ids of clusters that there were: a broker that still has the disk of one sets it aside."""
        return tuple(self._kept.forgotten)

    def forget_cluster(self) -> None:
        """The cluster is lost with the disks of its controllers: the next one has another id."""
        self._kept = self._read()
        self._kept.forgotten.append(self._kept.cluster_id)
        self._kept.cluster_id = random_id()
        self._write()

    def passwords(self, users: Collection[str]) -> dict[str, str]:
        """Of users, made where there is none."""
        self._kept = self._read()
        missing = [user for user in users if user not in self._kept.passwords]
        if missing:
            self._kept.passwords |= {user: secrets.token_urlsafe(PASSWORD_BYTES) for user in missing}
            self._write()
        return {user: self._kept.passwords[user] for user in users}

    def next_passwords(self, users: Collection[str]) -> dict[str, str]:
        """Other passwords for these users, made where there are none yet, and those that were made before and not taken
        (`take_next_passwords`): kept before anybody knows them, so that no crash loses one that Kafka has."""
        self._kept = self._read()
        missing = [user for user in users if user not in self._kept.next]
        if missing:
            self._kept.next |= {user: secrets.token_urlsafe(PASSWORD_BYTES) for user in missing}
            self._write()
        return dict(self._kept.next)

    def take_next_passwords(self) -> None:
        """They are the passwords from now on; the ones before are forgotten."""
        self._kept = self._read()
        self._kept.passwords |= self._kept.next
        self._kept.next = {}
        self._write()

    def keep_receivers(self, values: Mapping[str, str]) -> None:
        """Keeps secrets of receivers, in place of earlier ones of their names (`infra.machines.receivers`)."""
        self._kept = self._read()
        if any(self._kept.receivers.get(name) != value for name, value in values.items()):
            self._kept.receivers |= values
            self._write()

    def receivers(self, names: Collection[str] | None) -> dict[str, str]:
        """Secrets of receivers that are kept, of these names or (None) all."""
        self._kept = self._read()
        return {name: value for name, value in self._kept.receivers.items() if names is None or name in names}

    def certificate(self, file: str, name: str, reached_by: Sequence[str] = ()) -> Issued:
        """The certificate kept as `file`, issued anew if there is none, it names something else, it is of another
        authority than the one that signs, or a third of its life or less is left.

        Args:
            file: name of its file.
            name: common name.
            reached_by: host names and addresses.
        """
        found = self.kept_certificate(file)
        if found is not None and self._fits(found, name, reached_by):
            return found
        return self.issue_certificate(file, name, reached_by)

    def kept_certificate(self, file: str) -> Issued | None:
        """The certificate kept as `file`, whatever it is worth; None where there is none."""
        place = self.keystore(file)
        return _issued(place) if place.exists() else None

    def issue_certificate(self, file: str, name: str, reached_by: Sequence[str] = ()) -> Issued:
        """Another one in its place, with another key."""
        made = self.issuer.issue(name, reached_by)
        self._keep(self.keystore(file), made.keystore)
        return made

    def keystore(self, file: str) -> Path:
        """Where key and chain of a certificate lie (PEM, 0600)."""
        return self._folder / "tls" / f"{file}.pem"

    def values(self) -> frozenset[str]:
        """Every secret there is, for whoever looks for them where they must not be."""
        keys = [line for path in self._folder.rglob("*.pem") for line in _key_lines(path)]
        given = self._kept.receivers.values()
        return frozenset(
            [*given, *self._kept.passwords.values(), *self._kept.next.values(), *self.elastic.values(), *keys]
        )

    def _fits(self, found: Issued, name: str, reached_by: Sequence[str]) -> bool:
        try:
            ours, its_life = self.issuer.signed(found.chain), life(found.chain)
            leaf = x509.load_pem_x509_certificate(found.chain)
        except ValueError:
            return False
        try:
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            known = {str(one.value) for one in names}
        except x509.ExtensionNotFound:
            known = set()
        fresh = ours and not its_life.due(self._clock())
        return fresh and known == set(reached_by) and f"CN={name}" == leaf.subject.rfc4514_string()

    def _read(self) -> _Kept:
        kept = secret_file.read(self._file, _Kept)
        if kept is None:
            kept = _Kept(random_id())
            self._keep(self._file, msgspec.json.encode(kept))
        return kept

    def _write(self) -> None:
        self._keep(self._file, msgspec.json.encode(self._kept))

    @staticmethod
    def _keep(place: Path, content: bytes) -> None:
        """Synced: machines may know a secret before it is on this disk, and nobody after a power loss."""
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(place, content, synced=True)


def _issued(place: Path) -> Issued | None:
    key, marker, chain = place.read_bytes().partition(b"-----BEGIN CERTIFICATE-----")
    return Issued(key, marker + chain) if key and marker else None


def _key_lines(path: Path) -> list[str]:
    """The lines of a private key that nothing else holds."""
    lines, inside = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        if "PRIVATE KEY" in line:
            inside = line.startswith("-----BEGIN")
        elif inside and len(line) > 40:  # the last one of a key is short
            lines.append(line)
    return lines
