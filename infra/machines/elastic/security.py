"""Passwords, tokens and API keys of a packaged Elasticsearch, made through its API and kept by the deployment.

Idempotent: what is there and right is left. Elasticsearch shows a key or token once, when it makes it, so each is
kept before anything else is asked; one that was lost is made anew.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import msgspec

from infra.machines.elastic.kept import Kept
from infra.machines.elastic.rights import CLIENTS, descriptors, fingerprint
from streaming import decoding
from streaming.elastic.access import ElasticAccess
from streaming.elastic.connection import Connection, Response
from streaming.elastic.ensure import Refused, checked
from streaming.errors import Unavailable

ELASTIC = "elastic"
"""The built-in superuser: it makes keys, and nothing else uses it."""
KIBANA_ACCOUNT = "elastic/kibana"

READY_WITHIN_S = 180.0
ASKS_EVERY_S = 1.0
ANSWER_WITHIN_S = 30.0

Report = Callable[[str], None]


PASSWORD, NEXT_PASSWORD = "elastic/password", "elastic/next-password"
TOKEN, TOKEN_NAME, PASSWORD_SET = "kibana/token", "kibana/token-name", "elastic/password-set-in"
"""Kept: Kibana's token; noted: what it is called there, and the id of the cluster in which the password was set."""


def key_name(client: str) -> str:
    """Of a client's key among what is kept."""
    return f"api-key/{client}"


def old_key_name(client: str) -> str:
    """Of the key that a rotation has replaced, until it is invalidated."""
    return f"old-api-key/{client}"


class _Cluster(msgspec.Struct):
    cluster_uuid: str


class _Metadata(msgspec.Struct):
    rights: str = ""


class _Found(msgspec.Struct):
    id: str
    invalidated: bool = False
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Keys(msgspec.Struct):
    api_keys: list[_Found] = []


class _Made(msgspec.Struct):
    id: str
    encoded: str


class _Token(msgspec.Struct):
    name: str
    value: str


class _TokenMade(msgspec.Struct):
    token: _Token


class _Tokens(msgspec.Struct):
    tokens: dict[str, object] = {}


class Security:
    """Of one cluster, as `elastic`.

    Args:
        url: https://HOST:PORT.
        authority: PEM file of who signed its certificate.
        kept: where secrets are kept.
        prefix: stem of Vigil's indices.
        report: is told each thing that is made or changed.

    Raises (every method):
        Unavailable: Elasticsearch does not answer, or is not ready.
        Refused: it answers, and does not do it; the text has its reason.
    """

    def __init__(self, url: str, authority: Path, kept: Kept, prefix: str, report: Report) -> None:
        self._url, self._authority, self._kept = url, authority, kept
        self._prefix, self._report = prefix, report

    def ensure(self) -> tuple[str, ...]:
        """Everything that a deployment needs; returns the clients whose key is new."""
        self.await_ready()
        self.ensure_password()
        self.ensure_kibana_token()
        return self.ensure_keys(CLIENTS)

    def await_ready(self, within_s: float = READY_WITHIN_S) -> None:
        """Waits until it lets `elastic` in."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                self._ask("GET", "/_security/_authenticate", "asking who we are")
                return
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
            time.sleep(ASKS_EVERY_S)

    def ensure_password(self) -> None:
        """Sets `elastic`'s password in the cluster: the one of the keystore holds only until there is one."""
        cluster = decoding.decode(self._ask("GET", "/", "asking for the cluster").body, _Cluster).cluster_uuid
        if self._kept.noted(PASSWORD_SET) == cluster:
            return
        self._set_password(self._kept.password(PASSWORD))
        self._kept.note(PASSWORD_SET, cluster)
        self._report("the password of elastic is set")

    def renew_password(self) -> None:
        """Another one, from now on; the old is refused at once. Nothing that runs uses it."""
        # Kept before it is set, so that no crash in between loses it (`_ask`).
        self._set_password(self._kept.password(NEXT_PASSWORD))
        self._take_next()
        self._report("the password of elastic is another")

    def _take_next(self) -> None:
        self._kept.keep(PASSWORD, self._kept.password(NEXT_PASSWORD))
        self._kept.drop(NEXT_PASSWORD)

    def ensure_kibana_token(self) -> None:
        """Makes the token of Kibana's service account, unless the kept one is still known there."""
        known = decoding.decode(self._ask("GET", self._account(), "asking for Kibana's tokens").body, _Tokens).tokens
        if self._kept.secret(TOKEN) and self._kept.noted(TOKEN_NAME) in known:
            return
        self.renew_kibana_token()

    def renew_kibana_token(self) -> str | None:
        """Makes another, which is Kibana's after the next configuration; returns what the one before is called.

        That one works until it is removed (`remove_kibana_token`), so that Kibana can be restarted in between.
        """
        before, name = self._kept.noted(TOKEN_NAME), f"vigil-{secrets.token_hex(6)}"
        answer = self._ask("POST", f"{self._account()}/token/{name}", "making Kibana's token")
        self._kept.keep(TOKEN, decoding.decode(answer.body, _TokenMade).token.value)
        self._kept.note(TOKEN_NAME, name)
        self._report("Kibana has a token")
        return before

    def remove_kibana_token(self, name: str) -> None:
        """Removes one that is not in use any more; harmless where it is gone."""
        self._ask("DELETE", f"{self._account()}/token/{quote(name)}", "removing a token of Kibana", gone_is_well=True)

    def ensure_keys(self, clients: Iterable[str]) -> tuple[str, ...]:
        """Each of these clients has a key, with the rights of the table; returns those whose key is new.

        A key whose rights are others than the table's keeps its secret: its rights are changed in place.
        """
        new = []
        for client in clients:
            found = self._found(self._kept.secret(key_name(client)))
            if found is None:
                self._make(client)
                new.append(client)
            elif found.metadata.rights != fingerprint(client, self._prefix):
                self._ask("PUT", f"/_security/api_key/{quote(found.id)}", "changing a key", self._wanted(client))
                self._report(f"the key of {client} has other rights")
        return tuple(new)

    def renew_key(self, client: str) -> None:
        """Makes a client another key; its old one works until `retire_old_keys`, when the new one is in use."""
        old = self._kept.secret(key_name(client))
        self._make(client)
        if old:
            self._kept.keep(old_key_name(client), old)

    def retire_old_keys(self, clients: Iterable[str] = CLIENTS) -> None:
        """Invalidates, by their ids, the keys that were replaced."""
        for client in clients:
            if (identity := _id(self._kept.secret(old_key_name(client)))) is None:
                continue
            self._ask("DELETE", "/_security/api_key", "invalidating a key", {"ids": [identity]}, gone_is_well=True)
            self._kept.drop(old_key_name(client))
            self._report(f"the old key of {client} is invalid")

    def _make(self, client: str) -> None:
        body = {"name": f"vigil-{client}", **self._wanted(client)}
        made = decoding.decode(self._ask("POST", "/_security/api_key", "making a key", body).body, _Made)
        self._kept.keep(key_name(client), made.encoded)
        self._report(f"{client} has a key")

    def _wanted(self, client: str) -> dict[str, object]:
        rights = fingerprint(client, self._prefix)
        return {"role_descriptors": descriptors(client, self._prefix), "metadata": {"rights": rights}}

    def _found(self, encoded: str | None) -> _Found | None:
        """What Elasticsearch knows of a key; None where it has it not, or not any more."""
        identity = _id(encoded)
        if identity is None:
            return None
        answer = self._ask("GET", f"/_security/api_key?id={quote(identity)}", "asking for a key", gone_is_well=True)
        if answer.status == 404:
            return None
        found = decoding.decode(answer.body, _Keys).api_keys
        return next((one for one in found if one.id == identity and not one.invalidated), None)

    @staticmethod
    def _account() -> str:
        return f"/_security/service/{KIBANA_ACCOUNT}/credential"

    def _set_password(self, password: str) -> None:
        body = {"password": password}
        self._ask("POST", f"/_security/user/{ELASTIC}/_password", "setting the password of elastic", body)

    def _ask(self, method: str, path: str, doing: str, body: object = None, *, gone_is_well: bool = False) -> Response:
        answer = self._once(method, path, body)
        if answer.status == 401 and self._kept.secret(NEXT_PASSWORD):
            self._take_next()
            answer = self._once(method, path, body)
        if gone_is_well and answer.status == 404:
            return answer
        if answer.status == 401:
            raise Refused(
                f"Elasticsearch at {self._url} does not take the password of {ELASTIC} that this deployment keeps. "
                "Set that one on its machine: elasticsearch-reset-password -u elastic -i"
            )
        return checked(answer, doing)

    def _once(self, method: str, path: str, body: object) -> Response:
        user = f"{ELASTIC}:{quote(self._kept.password(PASSWORD), safe='')}"
        url = self._url.replace("https://", f"https://{user}@", 1)
        access = ElasticAccess(url, ca_path=str(self._authority))
        with closing(Connection(access, ANSWER_WITHIN_S)) as connection:
            return connection.json(method, path, body)


def _id(encoded: str | None) -> str | None:
    """The id of a key, which is the first part of its encoded form."""
    if not encoded:
        return None
    try:
        identity, separator, _ = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return identity if separator else None
