"""How Kibana is reached: its address and space, TLS, and what a client shows of itself."""

from __future__ import annotations

import ipaddress
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from streaming.alerting.secrets import private_text
from streaming.errors import ConfigError
from streaming.forward.access import Tls, client_context
from streaming.settings import Settings

_SPACE = re.compile(r"[a-z0-9_-]+")
_KEY = re.compile(r"[A-Za-z0-9+/=_-]+")
DEFAULT_SPACE = "default"
"""The space that needs no name in an address."""


@dataclass(frozen=True)
class KibanaAccess:
    """One space of one Kibana as one client sees it. No secret appears in any text.

    `url` is the address with Kibana's base path, if it has one. An `api_key` (encoded, as Elasticsearch gives it out)
    is sent instead of user and password. Of `https` the certificate and its name are always checked; `ca_path` is a PEM
    file of the authorities that may have signed it, empty: the system's.
    """

    url: str
    space: str = ""
    ca_path: str = ""
    api_key: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Raises ConfigError where the address, space or key is none, or a secret would travel unencrypted."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or not _has_fit_port(parts):
            raise ConfigError(
                f"{self.url!r} is not the address of a Kibana",
                field=Settings.variable("kibana_url"),
                remedy="Write https://HOST:PORT",
            )
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ConfigError(
                "the address of Kibana holds more than a host, a port and a path",
                field=Settings.variable("kibana_url"),
                remedy=f"Set {Settings.variable('kibana_api_key')}, or user and password, beside it",
            )
        if self.space and not _SPACE.fullmatch(self.space):
            raise ConfigError(
                f"{self.space!r} is no space's id", field="space", remedy="Small letters, digits, - and _ alone"
            )
        if self.space and "/s/" in f"{parts.path}/":
            raise ConfigError(
                f"{self.url} names a space already", field="space", remedy="Leave it away here or in the address"
            )
        if self.api_key and not _KEY.fullmatch(self.api_key):
            # The library that sends it would show it in its error.
            raise ConfigError(
                "is no API key in its encoded form",
                field=Settings.variable("kibana_api_key"),
                remedy="Take the field `encoded` of Elasticsearch's answer",
            )
        if self.has_credentials and parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise ConfigError(
                f"credentials would travel to {parts.hostname} unencrypted",
                field=Settings.variable("kibana_url"),
                remedy="Use https",
            )

    @property
    def has_credentials(self) -> bool:
        """Whether it shows anything of itself."""
        return bool(self.api_key or self.username)

    @property
    def base(self) -> str:
        """Before `/api/...`."""
        space = "" if self.space in ("", DEFAULT_SPACE) else f"/s/{self.space}"
        return self.url.rstrip("/") + space

    def tls(self) -> ssl.SSLContext:
        """What a connection is wrapped in.

        Raises:
            ConfigError: the file of authorities cannot be used.
        """
        if self.url.startswith("https:"):
            return client_context(Tls(self.ca_path or None))
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not used, and trusts nobody


def access_of(settings: Settings, *, url: str = "", space: str = "", api_key_file: Path | None = None) -> KibanaAccess:
    """By the settings, and what was given besides.

    Raises:
        ConfigError: there is no address, or something of it cannot be used.
    """
    address = url or settings.kibana_url
    if not address:
        raise ConfigError(
            "no address of Kibana", field=Settings.variable("kibana_url"), remedy="Set it, or give one with --url"
        )
    key = settings.kibana_api_key.get_secret_value()
    if api_key_file is not None:
        key = private_text(api_key_file, "Kibana").strip()
        if not key:
            raise ConfigError("is empty", file=api_key_file)
    return KibanaAccess(
        address,
        space,
        settings.kibana_ca_path,
        key,
        settings.kibana_username,
        settings.kibana_password.get_secret_value(),
    )


def _has_fit_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
