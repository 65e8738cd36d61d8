"""A deployment's own authority, and the certificates that it signs: of servers, and of clients that show one.

Each leaf is for both sides of TLS (brokers are clients of each other) and names all that the machine is reached by.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from streaming.errors import ConfigError
from streaming.files import write_private

AUTHORITY_DAYS = 3650
LEAF_DAYS = 90
RENEW_AT = 3
"""Renewed when the third part of its life is left: 30 days of a leaf's 90, so that a month of failed daily renewals is
survived; 3.3 years of the authority's ten."""
EARLIER = timedelta(minutes=5)
"""Machines' clocks differ; a certificate that is valid from now on would be refused by one that is behind."""


Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time of this host."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Issued:
    """A leaf in PEM: `key` (PKCS#8, no passphrase) and `chain`. The key appears in no text of this object."""

    key: bytes
    chain: bytes

    def __repr__(self) -> str:
        return "Issued(...)"

    @property
    def keystore(self) -> bytes:
        """Both in one file, as Kafka and OpenSSL take it."""
        return self.key + self.chain


class Change(StrEnum):
    """How far an authority is on its way to be followed by another one. At each step all that is in use is trusted."""

    NONE = "none"
    TRUSTED = "trusted"
    """The next one is trusted beside it, and has signed nothing yet."""
    SIGNS = "signs"
    """The next one signs; the old one is still trusted, and its key is gone."""


class Authority:
    """Signs certificates. Its key lies in `folder` and leaves it never: `ca-key.pem` (0600). `ca.pem` has the
    certificates of all that are trusted: its own, and during a change (`begin_change`) the other's too.

    Each step of a change is one file that is replaced whole: whoever is killed meanwhile, the next finds the step done
    or not done.

    Raises:
        ConfigError: one of the two files is there without the other, or is no such file.
    """

    def __init__(self, folder: Path, deployment: str, clock: Clock = utc_now) -> None:
        self.certificate_path, self._key_path = folder / "ca.pem", folder / "ca-key.pem"
        self._next_key_path = folder / "next-ca-key.pem"
        self._deployment, self._clock = deployment, clock
        if not self.certificate_path.exists() and not self._key_path.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            key, made = self._made(f"Vigil authority of {deployment}")
            write_private(self._key_path, _pem(key))
            self._trust([made])
        self._read()

    def _read(self) -> None:
        try:
            trusted = x509.load_pem_x509_certificates(self.certificate_path.read_bytes())
            self._key = _loaded(self._key_path)
            self._certificate = next(one for one in trusted if one.public_key() == self._key.public_key())
        except (OSError, ValueError, TypeError, StopIteration) as error:
            why = "they do not belong together" if isinstance(error, StopIteration) else error
            raise ConfigError(
                f"the authority's certificate or key cannot be used: {why}",
                file=self.certificate_path.parent,
                remedy="Restore both files from a backup, or remove both: a new authority means new certificates for "
                "all machines",
            ) from error
        self._trusted = trusted

    @property
    def certificate(self) -> bytes:
        """Of the one that signs (PEM)."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def expired(self) -> bool:
        """What it has signed is trusted no more."""
        return life(self.certificate).left(self._clock()) <= 0

    @property
    def change(self) -> Change:
        """How far a change is."""
        if len(self._trusted) == 1:
            return Change.NONE
        if not self._next_key_path.exists():
            return Change.SIGNS
        following = _loaded(self._next_key_path).public_key()
        return Change.TRUSTED if any(one.public_key() == following for one in self._trusted) else Change.SIGNS

    def begin_change(self) -> None:
        """Makes the next authority, which is trusted from now on; nothing if a change is under way."""
        if self.change is Change.NONE:
            key, made = self._made(f"Vigil authority of {self._deployment} {secrets.token_hex(4)}")
            write_private(self._next_key_path, _pem(key), synced=True)
            self._trust([self._certificate, made])
            self._read()

    def sign_by_next(self) -> None:
        """From now on the next one signs, and the key of the old one is gone. For when all trust both."""
        if self.change is Change.TRUSTED:
            self._next_key_path.replace(self._key_path)
            self._read()

    def end_change(self) -> None:
        """The old one is trusted no more. For when nothing that it signed is in use."""
        if self.change is Change.SIGNS:
            self._trust([self._certificate])
            self._read()

    def signed(self, certificate: bytes) -> bool:
        """Whether a certificate (PEM, the first one of a chain) is by the one that signs.

        Raises:
            ValueError: it is none.
        """
        leaf = x509.load_pem_x509_certificate(certificate)
        if leaf.issuer != self._certificate.subject:
            return False
        try:
            leaf.verify_directly_issued_by(self._certificate)
        except InvalidSignature:
            return False
        return True

    def _made(self, name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        key, subject = (
            ec.generate_private_key(ec.SECP256R1()),
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
        )
        made = (
            _builder(subject, subject, key.public_key(), self._clock(), AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return key, made

    def _trust(self, certificates: Sequence[x509.Certificate]) -> None:
        text = b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)
        write_private(self.certificate_path, text, mode=0o644, synced=True)

    def issue(self, name: str, reached_by: Sequence[str] = (), days: float = LEAF_DAYS) -> Issued:
        """A new key and its certificate.

        Args:
            name: common name; at Kafka the principal.
            reached_by: host names and addresses; none for a client's.
            days: how long it is valid; never longer than the authority.

        Raises:
            ConfigError: the authority itself has expired.
        """
        key, now = ec.generate_private_key(ec.SECP256R1()), self._clock()
        if self.expired:
            raise ConfigError(
                "the authority has expired", file=self.certificate_path, remedy="`vigil machines rotate authority`"
            )
        days = min(days, life(self.certificate).left(now))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer, authority = self._certificate.subject, self._key.public_key()
        builder = (
            _builder(subject, issuer, key.public_key(), now, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False)
        )
        if reached_by:
            names = x509.SubjectAlternativeName([_general(one) for one in reached_by])
            builder = builder.add_extension(names, critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        return Issued(_pem(key), made.public_bytes(serialization.Encoding.PEM))


@dataclass(frozen=True)
class Life:
    """From when to when a certificate is valid."""

    begins: datetime
    ends: datetime

    def left(self, now: datetime) -> float:
        """Days until it expires; below 0: since."""
        return (self.ends - now) / timedelta(days=1)

    def due(self, now: datetime) -> bool:
        """Whether it is to be renewed: a third of its life or less is left (`RENEW_AT`)."""
        return self.ends - now <= (self.ends - self.begins) / RENEW_AT


def life(certificate: bytes) -> Life:
    """Of a certificate (PEM, the first one of a chain).

    Raises:
        ValueError: it is none.
    """
    found = x509.load_pem_x509_certificate(certificate)
    return Life(found.not_valid_before_utc, found.not_valid_after_utc)


def _loaded(file: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(file.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError("is no key of an elliptic curve", file=file)
    return key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
