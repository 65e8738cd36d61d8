"""Imports saved objects through Kibana's API, and says of every object that it did not take, why."""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx
import msgspec

from infra.kibana.access import KibanaAccess
from streaming import decoding
from streaming.errors import Unavailable, VigilError
from streaming.settings import Settings

ANSWER_WITHIN_S = 60.0
"""An import of some sixty objects takes a second; a Kibana that has just started migrates them on a busy machine."""

NOT_YET = frozenset({429, 502, 503, 504})
"""Kibana answers 503 while it starts and while Elasticsearch is away; the others come from what stands before it."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0

NAMED = 20
"""So many objects that were not taken are named in an error."""


class Refused(VigilError):
    """Kibana answers, and does not do what was asked for; trying again does not help."""


class NotImported(Refused):
    """Kibana did not take all objects. `failures` names each, with the reason."""

    def __init__(self, failures: Sequence[str], count: int) -> None:
        self.failures = tuple(failures)
        named = "; ".join(self.failures[:NAMED])
        more = f"; and {len(self.failures) - NAMED} more" if len(self.failures) > NAMED else ""
        super().__init__(
            f"Kibana did not import all: {count} objects were taken, {len(self.failures)} not: {named}{more}"
        )


@dataclass(frozen=True)
class Imported:
    """What an import did."""

    count: int
    overwritten: int
    """So many of these were there before."""
    moved: tuple[str, ...] = ()
    """`TYPE:ID` of objects that have another id in this space, since another space of this Kibana has their own. All
    refers to them rightly, but links in Vigil's messages lead to the data view by its own id."""


class _Meta(msgspec.Struct):
    title: str = ""


class _Reference(msgspec.Struct):
    type: str
    id: str


class _Error(msgspec.Struct):
    type: str
    message: str = ""
    reason: str = ""
    references: list[_Reference] = []


class _Failure(msgspec.Struct):
    type: str
    id: str
    error: _Error
    meta: _Meta = msgspec.field(default_factory=_Meta)


class _Success(msgspec.Struct, rename="camel"):
    type: str
    id: str
    overwrite: bool = False
    destination_id: str = ""


class _Answer(msgspec.Struct, rename="camel"):
    success: bool
    success_count: int
    errors: list[_Failure] = []
    success_results: list[_Success] = []


class _Said(msgspec.Struct):
    message: str = ""


def import_objects(
    access: KibanaAccess,
    ndjson: bytes,
    *,
    wait_s: float = 0.0,
    told: Callable[[str], None] = lambda _: None,
    pause: Callable[[float], None] = time.sleep,
) -> Imported:
    """Writes these objects over what is there of their ids. Done twice it changes nothing but when they were updated.

    A Kibana that does not answer, or says that it is starting, is asked again for `wait_s` seconds; `told` is given a
    line each time.

    Raises:
        Unavailable: it did not answer in that time.
        NotImported: it did not take all; whether others were written, Kibana decides (for want of a reference: none).
        Refused: it does not let this client in, there is no such space, or what answers is no Kibana.
        ConfigError: the file of authorities cannot be used.
    """
    deadline = time.monotonic() + wait_s
    wait = FIRST_PAUSE_S
    # trust_env: credentials and objects go to this address alone, not through a proxy of the environment.
    with httpx.Client(verify=access.tls(), timeout=ANSWER_WITHIN_S, trust_env=False, headers=_headers(access)) as http:
        while True:
            why = ""
            try:
                answer = http.post(
                    f"{access.base}/api/saved_objects/_import",
                    params={"overwrite": "true"},
                    files={"file": ("vigil.ndjson", ndjson, "application/octet-stream")},
                )
                if answer.status_code not in NOT_YET:
                    return _read(access, answer)
                why = f"HTTP {answer.status_code} {_said(answer)}".strip()
            except httpx.TransportError as error:
                why = _untrusted(access, error) or type(error).__name__
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unavailable(f"Kibana at {access.base} does not answer ({why}). Is it up, and the address right?")
            told(f"Kibana at {access.base} is not ready ({why}); asking again")
            pause(min(wait, left))
            wait = min(2 * wait, LONGEST_PAUSE_S)


def _headers(access: KibanaAccess) -> dict[str, str]:
    # Kibana refuses requests that change anything without kbn-xsrf: a form on another site cannot send it.
    headers = {"kbn-xsrf": "vigil", "Accept": "application/json"}
    if access.api_key:
        headers["Authorization"] = f"ApiKey {access.api_key}"
    elif access.username:
        user = f"{access.username}:{access.password}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(user).decode()
    return headers


def _untrusted(access: KibanaAccess, error: BaseException | None) -> str:
    """Raises where the certificate is not trusted: waiting does not help. Else what the system says is wrong."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            raise Refused(
                f"the certificate of Kibana at {access.base} is not trusted ({error.verify_message}). "
                f"{Settings.variable('kibana_ca_path')} names the file of its authority"
            )
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        error = error.__cause__ or error.__context__
    return ""


def _read(access: KibanaAccess, answer: httpx.Response) -> Imported:
    status, said = answer.status_code, _said(answer)
    if status == 401:
        given = "refuses the credentials" if access.has_credentials else "wants credentials"
        key, user = Settings.variable("kibana_api_key"), Settings.variable("kibana_username")
        raise Refused(f"Kibana at {access.base} {given}. Set {key}, or {user} and its password")
    if status == 403:
        raise Refused(
            f"Kibana at {access.base}: this account may not import saved objects in this space. {said}".strip()
        )
    if status == 404:
        raise Refused(f"{access.base} is no Kibana, or has no such space (404). Does the address have its base path?")
    if status != 200:
        where = f" to {answer.headers['Location']}" if answer.has_redirect_location else ""
        raise Refused(f"Kibana at {access.base} refuses the import: HTTP {status}{where} {said}".strip())
    try:
        found = decoding.decode(answer.content, _Answer)
    except msgspec.DecodeError as error:
        raise Refused(f"what answers at {access.base} is no Kibana: {error}") from error
    if not found.success or found.errors:
        raise NotImported([_failure(one) for one in found.errors], found.success_count)
    return Imported(
        found.success_count,
        sum(one.overwrite for one in found.success_results),
        tuple(f"{one.type}:{one.id}" for one in found.success_results if one.destination_id not in ("", one.id)),
    )


def _failure(one: _Failure) -> str:
    """`TYPE:ID (TITLE): reason`."""
    error = one.error
    reason = error.type
    if error.references:
        reason += " " + ", ".join(f"{r.type}:{r.id}" for r in error.references)
    if error.message or error.reason:
        reason += f": {_short(error.message or error.reason)}"
    title = f" ({_short(one.meta.title)})" if one.meta.title else ""
    return f"{one.type}:{one.id}{title}: {reason}"


def _said(answer: httpx.Response) -> str:
    """What an error's body says, in one line; Kibana that starts answers in plain text."""
    try:
        return _short(decoding.decode(answer.content, _Said).message)
    except msgspec.DecodeError:
        return _short(answer.text)


def _short(text: str, limit: int = 300) -> str:
    shown = "".join(c if c.isprintable() else " " for c in text[: 2 * limit])
    return " ".join(shown.split())[:limit]
