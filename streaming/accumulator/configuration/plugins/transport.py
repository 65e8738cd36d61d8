"""`<transport>` and `<security>`: how a listening source is reached, and by whom.

Source: Fluentd's documentation, "Plugin Helper: server" and "in_forward"; its `cert_option.rb` and `tls.rb`.
"""

from __future__ import annotations

import socket
import ssl
from ipaddress import IPv4Network, IPv6Network, ip_network

from streaming.accumulator.configuration import values
from streaming.accumulator.configuration.plan import Client, Security, Tls, User
from streaming.accumulator.configuration.sections import Section

_VERSIONS = {
    "TLSv1_2": ssl.TLSVersion.TLSv1_2,
    "TLS1_2": ssl.TLSVersion.TLSv1_2,
    "TLSv1_3": ssl.TLSVersion.TLSv1_3,
    "TLS1_3": ssl.TLSVersion.TLSv1_3,
}


def transport(section: Section, default: str, *known: str) -> tuple[str, Tls | None]:
    """The protocol of a source's `<transport>` (`tcp` for TLS too) and its TLS.

    `known`: what the source can be reached by, `default` among them.
    """
    given = section.child("transport")
    if given is None:
        return default, None
    protocol = given.argument or default
    if protocol not in known:
        raise given.error(f"transport {protocol!r} is not supported; {' or '.join(known)}")
    # Connections are closed at once at the end; the kernel sizes its buffers.
    given.checked_only(linger_timeout=values.count, receive_buffer_size=values.size)
    tls = _tls(given) if protocol == "tls" else None
    given.done()
    return ("tcp" if tls else protocol), tls


def _tls(section: Section) -> Tls:
    # A certificate made at every start, by an authority's key or by itself, is one that no client can check.
    section.checked_only(insecure=values.one_of("false"), ensure_fips=values.one_of("false"))
    cert_path = section.required("cert_path", values.text)
    client_cert_auth = section.get("client_cert_auth", values.boolean, False)
    ca_path = section.optional("ca_path", values.text)
    if client_cert_auth and ca_path is None:
        raise section.place_of("client_cert_auth").error("needs ca_path, the authority of clients", name="ca_path")
    lowest, highest = _tls_versions(section)
    return Tls(
        section.place,
        cert_path,
        private_key_path=section.required("private_key_path", values.text),
        private_key_passphrase=section.optional("private_key_passphrase", values.text),
        ca_path=ca_path,
        client_cert_auth=client_cert_auth,
        min_version=lowest,
        max_version=highest,
        ciphers=section.optional("ciphers", values.text),
    )


def _tls_versions(section: Section) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    """`version` alone is that one only (TLSv1_2 by default); `min_version` and `max_version` come together."""
    read = values.one_of(*_VERSIONS)
    only = section.get("version", read, "TLSv1_2")
    lowest, highest = section.optional("min_version", read), section.optional("max_version", read)
    if (lowest is None) != (highest is None):
        given, missing = ("max_version", "min_version") if lowest is None else ("min_version", "max_version")
        raise section.place_of(given).error(f"needs {missing} too", name=given)
    found = _VERSIONS[lowest or only], _VERSIONS[highest or only]
    if found[0] > found[1]:
        raise section.place_of("min_version").error("is above max_version", name="min_version")
    return found


def security(section: Section) -> Security | None:
    """A source's `<security>`."""
    given = section.child("security")
    if given is None:
        return None
    users = tuple(_user(user) for user in given.children("user"))
    clients = tuple(_client(client) for client in given.children("client"))
    user_auth = given.get("user_auth", values.boolean, False)
    anonymous = given.get("allow_anonymous_source", values.boolean, True)
    if user_auth and not users:
        raise given.place_of("user_auth").error("needs <user> sections", name="user_auth")
    if not anonymous and not clients:
        raise given.place_of("allow_anonymous_source").error(
            "false needs <client> sections", name="allow_anonymous_source"
        )
    made = Security(
        given.place,
        self_hostname=given.required("self_hostname", values.text),
        shared_key=given.required("shared_key", values.text),
        user_auth=user_auth,
        allow_anonymous_source=anonymous,
        users=users,
        clients=clients,
    )
    given.done()
    _known_users(given, made)
    return made


def _user(section: Section) -> User:
    made = User(section.required("username", values.text), section.required("password", values.text))
    section.done()
    return made


def _client(section: Section) -> Client:
    host, network = section.optional("host", _address), section.optional("network", _network)
    if (host is None) == (network is None):
        raise section.error("needs host or network, one of them")
    found = host or network
    assert found is not None
    made = Client(
        found,
        section.optional("shared_key", values.text),
        _users(section),
    )
    section.done()
    return made


def _users(client: Section) -> tuple[str, ...]:
    return client.optional("users", values.array) or ()


def _known_users(section: Section, made: Security) -> None:
    known = {user.username for user in made.users}
    for client in section.children("client"):
        for name in _users(client):
            if made.user_auth and name not in known:
                raise client.place_of("users").error(f"there is no <user> {name!r}", name="users")


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise ValueError(f"{text!r} is no network (as 192.168.10.0/24)") from error


def _address(text: str) -> IPv4Network | IPv6Network:
    """A host's address, asked for once at the start, as Fluentd does."""
    try:
        found = socket.getaddrinfo(values.text(text), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ValueError(f"the address of {text!r} cannot be found") from error
    return ip_network(str(found[0][4][0]).partition("%")[0])
