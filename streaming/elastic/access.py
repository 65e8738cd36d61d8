"""How a client reaches Elasticsearch: its address, TLS or not, and what it shows of itself."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from streaming.forward.access import Tls, client_context


@dataclass(frozen=True)
class ElasticAccess:
    """One Elasticsearch as one client sees it.

    `url` may hold user and password; an `api_key` (in its encoded form, as Elasticsearch gives it out) is sent instead
    of them. Of `https` the certificate and its name are always checked: `ca_path` is a PEM file of the authorities
    that may have signed it; empty: the system's. `cert_path` and `key_path` (without a passphrase) are the client's
    own, for a server that asks for one. No secret appears in any text.
    """

    url: str = field(repr=False)
    ca_path: str = ""
    cert_path: str = ""
    key_path: str = ""
    api_key: str = field(default="", repr=False)

    def tls(self) -> ssl.SSLContext:
        """What a connection is wrapped in.

        Raises:
            ConfigError: a file cannot be read, or is not what it should be.
        """
        return client_context(Tls(self.ca_path or None, self.cert_path or None, self.key_path or None))
