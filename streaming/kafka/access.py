"""How a client reaches Kafka: where the brokers are, TLS or not, and what it shows of itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Protocol(StrEnum):
    """Kafka's `security.protocol`."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def tls(self) -> bool:
        """The connection is TLS; the broker's certificate and its name are always checked."""
        return self in (Protocol.SSL, Protocol.SASL_SSL)

    @property
    def sasl(self) -> bool:
        """The client says who it is by name and password."""
        return self in (Protocol.SASL_PLAINTEXT, Protocol.SASL_SSL)


class Mechanism(StrEnum):
    """Of `sasl.mechanism`, those with a name and a password."""

    SCRAM_SHA_512 = "SCRAM-SHA-512"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    PLAIN = "PLAIN"


@dataclass(frozen=True)
class KafkaAccess:
    """One Kafka as one client sees it. `str()` gives its brokers; the password appears in no text.

    `bootstrap` is HOST:PORT, several parted by commas. `ca_path` is a PEM file of the authorities that may have signed
    the brokers' certificates; empty: the system's. `cert_path` and `key_path` (without a passphrase) are the client's
    own, for brokers that ask for one.
    """

    bootstrap: str
    protocol: Protocol = Protocol.PLAINTEXT
    mechanism: Mechanism = Mechanism.SCRAM_SHA_512
    username: str = ""
    password: str = field(default="", repr=False)
    ca_path: str = ""
    cert_path: str = ""
    key_path: str = ""

    def __str__(self) -> str:
        return self.bootstrap

    def options(self) -> dict[str, str]:
        """The same in librdkafka's words."""
        found = {"bootstrap.servers": self.bootstrap}
        if self.protocol is not Protocol.PLAINTEXT:
            found["security.protocol"] = self.protocol
        if self.protocol.tls:
            files = {
                "ssl.ca.location": self.ca_path,
                "ssl.certificate.location": self.cert_path,
                "ssl.key.location": self.key_path,
            }
            found |= {name: path for name, path in files.items() if path}
        if self.protocol.sasl:
            found |= {
                "sasl.mechanism": self.mechanism,
                "sasl.username": self.username,
                "sasl.password": self.password,
            }
        return found
