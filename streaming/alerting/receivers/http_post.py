"""Posts to one address: time-outs, verified TLS, no redirects, bounded answers, and what each answer means.

An address may itself be a secret (`https://hooks.example/T0/B1/SECRET`), so only its host ever shows in a message;
nor does what the server wrote, since many servers repeat the path in their error pages.
"""

from __future__ import annotations

import http.client
import ipaddress
import logging
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

import urllib3
from pydantic import SecretStr
from urllib3 import exceptions as faults
from urllib3.util import Timeout, Url, make_headers, parse_url

from streaming.alerting.receivers.base import Undelivered
from streaming.alerting.receivers.waits import retry_after_s

CONNECT_S = 5.0
READ_S = 15.0
"""A receiver answers within a second or two; Standard Webhooks asks senders to wait 15 s at the least. After that the
outcome is taken as unknown. It is the time of one silence: the head of an answer that drips holds up this receiver's
own lane, and no other."""

BODY_S = 5.0
ANSWER_LIMIT = 16 * 1024
"""Bytes of an answer that are read, and for how long: an error's JSON has some hundred. The rest is cut off."""

USER_AGENT = "Vigil"

_MISCONFIGURED = frozenset({401, 403, 404, 405, 407, 410})
_LATER = frozenset({408, 409, 425, 429})
"""Not now. 409 is what a receiver answers that still works on the first attempt of the same idempotency key."""

# At level DEBUG it would log paths, which may be secrets.
logging.getLogger("urllib3.connectionpool").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Answer:
    """What the server said; `body` is the beginning of it, as far as it came."""

    status: int
    retry_after: str | None
    body: bytes


class Endpoint:
    """One address. The environment's HTTPS_PROXY, HTTP_PROXY and NO_PROXY are heeded; certificates are checked against
    the system's authorities (or those of SSL_CERT_FILE).

    Plain http goes to this machine only: what is sent, log texts and keys, is not for others on the way.
    """

    def __init__(self, address: SecretStr) -> None:
        self._address = address

    @cached_property
    def host(self) -> str:
        """Host and port: all of the address that may be shown."""
        try:
            return self._url.netloc or ""
        except Undelivered:
            return "(no address)"

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Posts once: nothing is tried again here, and no redirect is followed.

        Raises:
            Undelivered: no answer came. It is `unknown` where the request may have arrived.
        """
        try:
            response = self._pool.request(
                "POST",
                self._url.url,
                body=body,
                headers={**self._headers, **headers},
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except (faults.HTTPError, OSError, ValueError) as error:
            raise self._undelivered(error) from None
        return Answer(response.status, response.headers.get("Retry-After"), _beginning(response))

    def deliver(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Posts, and takes an answer of 2xx only.

        Raises:
            Undelivered: as `refusal` reads the answer, or no answer came.
        """
        answer = self.post(body, headers)
        failure = refusal(answer, self.host)
        if failure is not None:
            raise failure
        return answer

    def reach(self) -> None:
        """Connects, with TLS where the address says so, and sends nothing. Behind a proxy it only reads the address.

        Raises:
            Undelivered: it cannot be reached.
        """
        url = self._url
        if _proxy_of(url):
            return
        try:
            with socket.create_connection((_plain_host(url), _port(url)), CONNECT_S) as connection:
                if self._tls is not None:
                    self._tls.wrap_socket(connection, server_hostname=_plain_host(url)).close()
        except (OSError, ValueError) as error:
            raise self._undelivered(error, sent=False) from None

    def close(self) -> None:
        """Closes the connection that is kept for the next post."""
        if "_pool" in self.__dict__:
            self._pool.clear()

    @cached_property
    def _url(self) -> Url:
        """The address, without the user it may name.

        Raises:
            Undelivered: it is none that can be posted to.
        """
        try:
            url = parse_url(self._address.get_secret_value().strip())
        except faults.LocationParseError:
            # Its text is the address.
            raise Undelivered("bad_address", "the address cannot be read", misconfigured=True) from None
        if url.scheme not in ("http", "https") or not url.host:
            raise Undelivered("bad_address", "the address is none of http or https", misconfigured=True)
        if url.scheme == "http" and not is_loopback(_plain_host(url)):
            raise Undelivered("plain_http", f"{url.netloc}: https alone leaves this machine", misconfigured=True)
        return url._replace(auth=None, fragment=None)

    @cached_property
    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        auth = parse_url(self._address.get_secret_value().strip()).auth
        return headers | (make_headers(basic_auth=unquote(auth)) if auth else {})

    @cached_property
    def _tls(self) -> ssl.SSLContext | None:
        """None where none is needed: reading the authorities takes a while, and memory."""
        return ssl.create_default_context() if self._url.scheme == "https" else None

    @cached_property
    def _pool(self) -> urllib3.PoolManager:
        proxy = _proxy_of(self._url)
        timeout = Timeout(connect=CONNECT_S, read=READ_S)
        if not proxy:
            return urllib3.PoolManager(1, timeout=timeout, retries=False, maxsize=1, ssl_context=self._tls)
        try:
            auth = parse_url(proxy).auth
            return urllib3.ProxyManager(
                proxy,
                1,
                proxy_headers=make_headers(proxy_basic_auth=unquote(auth)) if auth else None,
                timeout=timeout,
                retries=False,
                maxsize=1,
                ssl_context=self._tls,
            )
        except (faults.LocationValueError, faults.ProxySchemeUnknown):
            raise Undelivered("bad_proxy", "the environment's proxy cannot be read", misconfigured=True) from None

    def _undelivered(self, error: Exception, *, sent: bool = True) -> Undelivered:
        """What an error means; no text of it that could hold the path is shown."""
        root: BaseException = error
        while isinstance(root.args[-1] if root.args else None, Exception):
            root = root.args[-1]
        root = root.__cause__ or root
        if isinstance(root, ssl.SSLCertVerificationError):
            return Undelivered("bad_certificate", f"{self.host}: {root.verify_message}", misconfigured=True)
        if isinstance(root, socket.gaierror) or isinstance(error, faults.NameResolutionError):
            return Undelivered("unreachable", f"{self.host}: no such host")
        if isinstance(error, faults.LocationValueError | UnicodeError):
            return Undelivered("bad_address", f"{self.host}: the address cannot be used", misconfigured=True)
        why = root.strerror if isinstance(root, OSError) and root.strerror else type(root).__name__
        if not sent or isinstance(error, faults.ConnectTimeoutError):
            return Undelivered("unreachable", f"{self.host}: {why}")
        if isinstance(error, faults.ProxyError):
            return Undelivered("unreachable", f"{self.host}: by its proxy: {why}")
        # A time-out, a cut connection, an answer that is none: nobody knows what the server did.
        return Undelivered("no_answer", f"{self.host}: {why}", unknown=True)


def refusal(answer: Answer, host: str) -> Undelivered | None:
    """What an answer means; None: it was taken."""
    status = answer.status
    if 200 <= status < 300:
        return None
    reason = f"http_{status}"
    detail = f"{host} answered {status} {http.client.responses.get(status, '')}".rstrip()
    wait_s = None if answer.retry_after is None else retry_after_s(answer.retry_after)
    if 300 <= status < 400:
        return Undelivered(reason, f"{detail}; give the address it redirects to", misconfigured=True)
    if status in _MISCONFIGURED:
        return Undelivered(reason, detail, misconfigured=True)
    if status in _LATER:
        return Undelivered(reason, detail, wait_s=wait_s)
    if 400 <= status < 500:
        return Undelivered(reason, detail, only_this=True)
    # 5xx, and what HTTP does not know: it may have happened all the same.
    return Undelivered(reason, detail, wait_s=wait_s, unknown=True)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, without asking a name server."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _beginning(response: urllib3.BaseHTTPResponse) -> bytes:
    """As much of the body as comes in time: what the status says holds without it."""
    until, read = time.monotonic() + BODY_S, b""
    try:
        while len(read) < ANSWER_LIMIT and time.monotonic() < until:
            more = response.read1(ANSWER_LIMIT - len(read), decode_content=False)
            if not more:
                response.release_conn()
                return read
            read += more
    except (faults.HTTPError, OSError):
        pass
    # What is left unread would be taken for the next answer's beginning.
    response.close()
    return read


def _proxy_of(url: Url) -> str | None:
    host = _plain_host(url)
    if is_loopback(host) or proxy_bypass(host):
        return None
    return getproxies().get(url.scheme or "")


def _plain_host(url: Url) -> str:
    """Without the brackets of an IPv6 address."""
    return (url.host or "").strip("[]")


def _port(url: Url) -> int:
    return url.port or (443 if url.scheme == "https" else 80)
