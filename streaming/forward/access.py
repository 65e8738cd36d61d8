"""How a sender reaches an accumulator: TLS or not, and what it shows of itself."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from streaming.errors import ConfigError
from streaming.forward.handshake import Credentials


@dataclass(frozen=True)
class Tls:
    """TLS 1.2 or later. Paths of PEM files.

    `ca_path`: the authorities that may have signed the accumulator's certificate; None: the system's. `cert_path` and
    `private_key_path` (without a passphrase): the sender's own certificate, where the accumulator asks for one.
    `server_name` must be in the accumulator's certificate; None: the host that is connected to.
    """

    ca_path: str | None = None
    cert_path: str | None = None
    private_key_path: str | None = None
    server_name: str | None = None


@dataclass(frozen=True)
class Access:
    """Both are off where None: no TLS, and an accumulator without `<security>`."""

    tls: Tls | None = None
    credentials: Credentials | None = None


PLAIN = Access()


def client_context(tls: Tls) -> ssl.SSLContext:
    """What a connection is wrapped in. The accumulator's certificate is always checked.

    Raises:
        ConfigError: a file cannot be read, or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.ca_path is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(tls.ca_path)
        except OSError as error:
            raise _unusable("ca_path", tls.ca_path, error) from error
    if tls.cert_path is None:
        if tls.private_key_path is not None:
            raise ConfigError("needs cert_path too", field="private_key_path")
        return context
    try:
        # A passphrase that is not asked for is never a question on the terminal.
        context.load_cert_chain(tls.cert_path, tls.private_key_path, lambda: "")
    except OSError as error:
        raise _unusable("cert_path", f"{tls.cert_path}, {tls.private_key_path}", error) from error
    return context


def _unusable(name: str, files: str, error: OSError) -> ConfigError:
    return ConfigError(f"cannot be used ({files}): {error.strerror or error}", field=name)
