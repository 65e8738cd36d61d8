"""A source's TLS, from the files that its `<transport tls>` names."""

from __future__ import annotations

import ssl

from streaming.accumulator.configuration.plan import Tls
from streaming.errors import ConfigError

_CIPHERS = "ALL:!aNULL:!eNULL:!SSLv2"
"""Fluentd's default."""


def server_context(tls: Tls) -> ssl.SSLContext:
    """What a listening socket is wrapped in. With `client_cert_auth` clients must show a certificate.

    Raises:
        ConfigError: a file cannot be read, or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = tls.min_version, tls.max_version
    try:
        context.set_ciphers(tls.ciphers or _CIPHERS)
    except ssl.SSLError as error:
        raise tls.place.error(f"no ciphers that OpenSSL knows: {tls.ciphers}", name="ciphers") from error
    try:
        # A passphrase that is not asked for is never a question on the terminal.
        context.load_cert_chain(tls.cert_path, tls.private_key_path, lambda: tls.private_key_passphrase or "")
    except OSError as error:
        files = f"{tls.cert_path}, {tls.private_key_path}"
        raise _unusable(tls, "cert_path", files, error) from error
    if tls.ca_path is not None:
        try:
            context.load_verify_locations(tls.ca_path)
        except OSError as error:
            raise _unusable(tls, "ca_path", tls.ca_path, error) from error
    if tls.client_cert_auth:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _unusable(tls: Tls, name: str, files: str, error: OSError) -> ConfigError:
    # OpenSSL's own text can hold nothing of a key; `strerror` of a missing file has no name.
    return tls.place.error(f"cannot be used ({files}): {error.strerror or error}", name=name)
