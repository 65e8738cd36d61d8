"""Fetching an image over https: resumed where it stopped, with progress, and nothing kept whose sum is wrong."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

from vbox.errors import VboxError
from vbox.sums import digest_of, wrong_sum

ATTEMPTS = 5
"""Each goes on where the last one stopped, so a connection that breaks now and then costs little."""
_SILENCE_S = 60.0
_CHUNK = 1024 * 1024
_STEP = 10
"""Per cent between two lines of progress."""


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(  # the base class's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.startswith("https://"):
            raise VboxError(f"{req.full_url} leads to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetched(
    url: str, target: Path, algorithm: str, digest: str, say: Callable[[str], None], check: Callable[[], None]
) -> Path:
    """The file at a URL, in the cache `target` once its sum is right; a cached one with that sum is taken as it is.

    Raises:
        VboxError: it cannot be fetched, or its sum is another (nothing is kept then).
    """
    if target.is_file():
        say(f"checking {target.name} in the cache")
        if digest_of(target, algorithm, check) == digest:
            return target
        say(f"{target.name} in the cache has another {algorithm} sum; fetching it anew")
        target.unlink()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = target.with_name(target.name + ".part")
    resumed = part.exists()
    _complete(url, part, say, check)
    found = digest_of(part, algorithm, check)
    if found != digest and resumed:
        # What was there may have been of another version of the file.
        say(f"the {algorithm} sum of what was fetched in parts is wrong; fetching it anew")
        part.unlink()
        _complete(url, part, say, check)
        found = digest_of(part, algorithm, check)
    if found != digest:
        part.unlink()
        raise wrong_sum(url, algorithm, found, digest)
    part.replace(target)
    return target


def _complete(url: str, part: Path, say: Callable[[str], None], check: Callable[[], None]) -> None:
    last: Exception | None = None
    for attempt in range(ATTEMPTS):
        check()
        try:
            if _once(url, part, say, check):
                return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code < 500:
                raise VboxError(f"{url} answers {error.code} {error.reason}", remedy="Is the address right?") from error
            last = error
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and not isinstance(error, urllib.error.URLError) and error.filename:
                raise VboxError(f"{part} cannot be written ({error.strerror})") from error
            last = error
        say(f"the connection broke ({last or 'it ended early'}); attempt {attempt + 2} of {ATTEMPTS}")
    raise VboxError(f"{url} cannot be fetched", reason=str(last or "the connection ended early each time"))


def _once(url: str, part: Path, say: Callable[[str], None], check: Callable[[], None]) -> bool:
    """One request; True when the file is whole."""
    have = part.stat().st_size if part.exists() else 0
    # `spec` lets https alone pass.
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310
    opener = urllib.request.build_opener(_HttpsOnly)
    try:
        answer = opener.open(request, timeout=_SILENCE_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is left of it, or it has become shorter: the sum decides
            error.close()
            return True
        raise
    with answer:
        if answer.status != 206:
            have = 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        say(f"{'going on with' if have else 'fetching'} {url}" + (f", {total / 1e6:.0f} MB" if total else ""))
        with part.open("ab" if have else "wb") as file:
            have = _copy(answer, file, have, total, say, check)
            file.flush()
            os.fsync(file.fileno())
    return total is None or have >= total


def _copy(
    answer: http.client.HTTPResponse,
    file: IO[bytes],
    have: int,
    total: int | None,
    say: Callable[[str], None],
    check: Callable[[], None],
) -> int:
    said = have * 100 // total if total else 0
    while chunk := answer.read(_CHUNK):
        check()
        file.write(chunk)
        have += len(chunk)
        if total and have * 100 // total >= said + _STEP:
            said = have * 100 // total
            say(f"  {said} %")
    return have
