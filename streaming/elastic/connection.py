"""One kept-alive HTTP connection to Elasticsearch.

The worker sends prepared bytes and reads little of the answer; the client library costs 22 us a document where
this costs 3.5 (and tens of MB of memory), and nothing of what it adds is needed here.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec

from streaming import decoding
from streaming.elastic.access import ElasticAccess
from streaming.errors import ConfigError, Unavailable

NDJSON = "application/x-ndjson"
JSON = "application/json"


class Response(NamedTuple):
    """An answer, whatever its status."""

    status: int
    body: bytes
    retry_after_s: float | None

    def error(self) -> str:
        """What Elasticsearch says is wrong, in one line: `type: reason`."""
        try:
            said = decoding.decode(self.body, _ErrorBody).error
        except msgspec.DecodeError:
            return f"HTTP {self.status}: {self.body[:200].decode('utf-8', 'replace')}".rstrip(": ")
        return said if isinstance(said, str) else f"{said.type}: {said.reason}"

    @property
    def error_type(self) -> str:
        """Elasticsearch's name of the error, such as `index_not_found_exception`; empty if it names none."""
        try:
            said = decoding.decode(self.body, _ErrorBody).error
        except msgspec.DecodeError:
            return ""
        return "" if isinstance(said, str) else said.type


class _Cause(msgspec.Struct):
    type: str = ""
    reason: str | None = ""


class _ErrorBody(msgspec.Struct):
    error: _Cause | str


class Connection:
    """Connects when first used, and again after a failure. For one thread at a time, `abort` excepted.

    `server` is its URL, or all of how it is reached. User and password in the URL are sent as Basic authentication, an
    API key instead of them; neither appears in any error text.

    Raises:
        ConfigError: the URL is not one of http or https with a host, or a file of certificates cannot be used.
    """

    def __init__(self, server: ElasticAccess | str, timeout_s: float = 20.0) -> None:
        access = ElasticAccess(server) if isinstance(server, str) else server
        parts = urlsplit(access.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                "not the address of an Elasticsearch", field="VIGIL_ELASTICSEARCH_URL", remedy="Write http://HOST:PORT"
            )
        self.address = f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
        self._prefix = parts.path.rstrip("/")
        self._headers: dict[str, str] = {}
        if access.api_key:
            self._headers["Authorization"] = f"ApiKey {access.api_key}"
        elif parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        self._aborted = False
        self._http = (
            http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=access.tls())
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
        )

    def request(self, method: str, path: str, body: bytes | None = None, content_type: str = JSON) -> Response:
        """Sends one request and reads the whole answer.

        A kept connection that the server has closed meanwhile shows only when it is used; the request is then sent
        once more on a new one. So send only what may be done twice.

        Raises:
            Unavailable: no connection, or it broke, or no answer within the time-out. Whether the request was done
                is unknown.
        """
        headers: Mapping[str, str] = self._headers if body is None else self._headers | {"Content-Type": content_type}
        kept = self._http.sock is not None
        try:
            return self._once(method, path, body, headers)
        except ConnectionError as error:
            if not kept or self._aborted:
                raise self._unavailable(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unavailable(error) from error
        try:
            return self._once(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            raise self._unavailable(error) from error

    def _once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Response:
        try:
            self._http.request(method, self._prefix + path, body, headers)
            answer = self._http.getresponse()
            return Response(answer.status, answer.read(), _seconds(answer.getheader("Retry-After")))
        except (OSError, http.client.HTTPException):
            self._http.close()
            raise

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"Elasticsearch at {self.address} does not answer ({_why(error)}). Is it up? `vigil status` shows it"
        )

    def json(self, method: str, path: str, body: object = None) -> Response:
        """`request` with a body that is encoded as JSON (None: no body)."""
        return self.request(method, path, None if body is None else msgspec.json.encode(body))

    def abort(self) -> None:
        """Makes a request that waits in another thread fail now. The connection is not to be used again."""
        self._aborted = True
        sock = self._http.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Disconnects; the next request connects again."""
        self._http.close()


def _seconds(retry_after: str | None) -> float | None:
    """The form in seconds of RFC 9110, 10.2.3; the form as a date is left out, no Elasticsearch sends it."""
    return float(retry_after) if retry_after and retry_after.isdigit() else None


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return str(error) or type(error).__name__
