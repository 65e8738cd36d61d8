"""`@type http`: events by `POST /TAG`, as Fluentd's in_http takes them. Pure; web.py serves it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from streaming.accumulator.configuration.plan import HttpSource
from streaming.accumulator.sources.entries import Entries, TooMuchError
from streaming.accumulator.sources.http_records import (
    BodyError,
    Form,
    of_json,
    of_msgpack,
    of_ndjson,
    seconds_to_ns,
)
from streaming.accumulator.sources.web import INFLATED_LIMIT, Accepted, Head, Request, Response
from streaming.accumulator.spool.segment import Arrived
from streaming.forward.frames import TAG_LIMIT

_FORM: Final = "application/x-www-form-urlencoded"
_BODIES: Final = {"application/json": of_json, "application/x-ndjson": of_ndjson, "application/msgpack": of_msgpack}
_FIELDS: Final = {"msgpack": of_msgpack, "json": of_json, "ndjson": of_ndjson}
"""Fields of a form, or of the query, that may hold the records; the first that is there does."""
_SECRET: Final = frozenset(("authorization", "proxy-authorization", "cookie"))
"""Headers that `add_http_headers` leaves out."""
_FIELDS_LIMIT: Final = 1_000


class HttpEndpoint:
    """One source's requests."""

    def __init__(self, source: HttpSource) -> None:
        self._source = source
        self.body_limit = source.body_size_limit
        self.inflated_limit = min(source.decompression_size_limit, INFLATED_LIMIT)
        self.keepalive_s = source.keepalive_timeout_s

    def refusal(self, head: Head) -> Response | None:
        if head.method != "POST":
            found = self.failure(head, HTTPStatus.METHOD_NOT_ALLOWED, "POST events to /TAG")
            return found._replace(headers=(("Allow", "POST"),))
        if head.get("origin"):
            # A page in somebody's browser can post to any address of its machine; loggers have no origin.
            return self.failure(head, HTTPStatus.FORBIDDEN, "no requests from web pages (header Origin)")
        media_type = head.media_type
        if media_type not in _BODIES and media_type != _FORM and (media_type or not head.query):
            known = ", ".join((*_BODIES, _FORM))
            text = (
                f"Content-Type {media_type:.60} is none of {known}" if media_type else f"no Content-Type; use {known}"
            )
            return self.failure(head, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)
        if not self._tag(head):
            return self.failure(head, HTTPStatus.BAD_REQUEST, f"the path is the tag, of 1 to {TAG_LIMIT} characters")
        return None

    def answer(self, request: Request) -> Response | Accepted:
        head, source = request.head, self._source
        try:
            entries = self._entries(request)
        except TooMuchError as error:
            return self.failure(head, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
        except BodyError as error:
            return self.failure(head, HTTPStatus.BAD_REQUEST, str(error))
        done = Response(HTTPStatus.NO_CONTENT if source.use_204_response else HTTPStatus.OK)
        if not entries.events:
            return done
        return Accepted(
            Arrived(
                self._tag(head),
                entries.body,
                entries.events,
                False,
                request.chunk_id,
                request.received_ns,
                source.label or "",
            ),
            done,
        )

    def failure(self, head: Head | None, status: int, text: str) -> Response:  # noqa: ARG002
        return Response(status, f"{status} {HTTPStatus(status).phrase}\n{text}\n".encode("utf-8", "replace"))

    def _tag(self, head: Head) -> str:
        """The path with dots for slashes, undecoded as in Fluentd; "" where it makes no tag."""
        tag = ".".join(head.path.removeprefix("/").rstrip("/").split("/"))
        if tag and self._source.add_tag_prefix:
            tag = f"{self._source.add_tag_prefix}.{tag}"
        return tag if len(tag) <= TAG_LIMIT else ""

    def _entries(self, request: Request) -> Entries:
        head = request.head
        query = _fields(head.query)
        form = self._form(head, query)
        read = _BODIES.get(head.media_type)
        if read:
            return read(request.body, form)
        fields = query | (_fields(request.body.decode("latin-1")) if head.media_type == _FORM else {})
        for name, read in _FIELDS.items():
            if name in fields:
                return read(fields[name].encode("latin-1"), form)
        raise BodyError(f"none of the fields {', '.join(_FIELDS)} is there")

    def _form(self, head: Head, query: dict[str, str]) -> Form:
        source = self._source
        time_ns = None
        if given := query.get("time"):
            time_ns = seconds_to_ns(given)
            if time_ns is None:
                raise BodyError(f"time={given:.40}: seconds since 1970, with or without a fraction")
        extra: dict[str, str] = {}
        if source.add_query_params:
            extra |= {f"QUERY_{_upper(name)}": _utf8(value) for name, value in query.items()}
        if source.add_http_headers:
            shown = ((name, value) for name, value in reversed(head.headers) if name not in _SECRET)
            extra |= {f"HTTP_{_upper(name)}": _utf8(value) for name, value in shown}
        if source.add_remote_addr:
            forwarded = head.get("x-forwarded-for").partition(",")[0].strip()
            extra["REMOTE_ADDR"] = _utf8(forwarded) or head.peer
        return Form(time_ns, source.time_key, source.keep_time_key, extra)


def _fields(text: str) -> dict[str, str]:
    """Fields of a query or a form, one character for each byte; of a name given twice the last."""
    try:
        found = parse_qsl(text, keep_blank_values=True, encoding="latin-1", max_num_fields=_FIELDS_LIMIT)
    except ValueError as error:
        raise BodyError(f"more than {_FIELDS_LIMIT} fields") from error
    return dict(found)


def _upper(name: str) -> str:
    return _utf8(name).replace("-", "_").upper()


def _utf8(text: str) -> str:
    """Of one character for each byte; what is no UTF-8 shows as U+FFFD."""
    return text.encode("latin-1").decode("utf-8", "replace")
