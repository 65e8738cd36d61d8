"""`@type vigil_otlp`: logs by OTLP/HTTP, `POST /v1/logs`, as protobuf or JSON. Pure; web.py serves it.

A request is taken whole or refused whole, so `partial_success` is never needed: 200 says that every log is durable.
Refusals are Status messages in the request's encoding. 503 is the one that a client tries again.

Source: opentelemetry.io, "OTLP Specification", section "OTLP/HTTP".
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec
from google.protobuf.message import DecodeError

from streaming.accumulator.configuration.plan import OtlpSource
from streaming.accumulator.sources import otlp_json, otlp_wire
from streaming.accumulator.sources.entries import TooMuchError
from streaming.accumulator.sources.otlp_records import entries
from streaming.accumulator.sources.web import INFLATED_LIMIT, Accepted, Head, Request, Response
from streaming.accumulator.spool.segment import Arrived

PATH: Final = "/v1/logs"
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_KEEPALIVE_S: Final = 60.0
"""Exporters send every few seconds; a metrics-like interval is a minute."""

# google.rpc.Code
_INVALID_ARGUMENT: Final = 3
_PERMISSION_DENIED: Final = 7
_RESOURCE_EXHAUSTED: Final = 8
_UNIMPLEMENTED: Final = 12
_UNAVAILABLE: Final = 14
_DEADLINE_EXCEEDED: Final = 4
_CODES: Final = {
    HTTPStatus.FORBIDDEN: _PERMISSION_DENIED,
    HTTPStatus.NOT_FOUND: _UNIMPLEMENTED,
    HTTPStatus.METHOD_NOT_ALLOWED: _UNIMPLEMENTED,
    HTTPStatus.REQUEST_TIMEOUT: _DEADLINE_EXCEEDED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: _RESOURCE_EXHAUSTED,
    HTTPStatus.SERVICE_UNAVAILABLE: _UNAVAILABLE,
}


class OtlpEndpoint:
    """One source's requests."""

    def __init__(self, source: OtlpSource) -> None:
        self._source = source
        self.body_limit = source.body_size_limit
        self.inflated_limit = INFLATED_LIMIT
        self.keepalive_s = _KEEPALIVE_S

    def refusal(self, head: Head) -> Response | None:
        if head.path != PATH:
            return self.failure(head, HTTPStatus.NOT_FOUND, f"logs are posted to {PATH}; there is nothing else")
        if head.method != "POST":
            found = self.failure(head, HTTPStatus.METHOD_NOT_ALLOWED, f"logs are posted to {PATH}")
            return found._replace(headers=(("Allow", "POST"),))
        if head.get("origin"):
            return self.failure(head, HTTPStatus.FORBIDDEN, "no requests from web pages (header Origin)")
        if head.media_type not in (_PROTOBUF, _JSON):
            text = f"Content-Type is {_PROTOBUF} or {_JSON}, not {head.media_type:.60}"
            return self.failure(head, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text)
        return None

    def answer(self, request: Request) -> Response | Accepted:
        head, source = request.head, self._source
        try:
            read_logs = otlp_json.read_logs if _is_json(head) else otlp_wire.read_logs
            found = entries(read_logs(request.body))
        except TooMuchError as error:
            return self.failure(head, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
        except (DecodeError, otlp_wire.WireError, otlp_json.JsonError) as error:
            return self.failure(head, HTTPStatus.BAD_REQUEST, str(error))
        # An empty ExportLogsServiceResponse: all of it was taken.
        done = Response(HTTPStatus.OK, b"{}", _JSON) if _is_json(head) else Response(HTTPStatus.OK, b"", _PROTOBUF)
        if not found.events:
            return done
        chunk = Arrived(
            source.tag, found.body, found.events, False, request.chunk_id, request.received_ns, source.label or ""
        )
        return Accepted(chunk, done)

    def failure(self, head: Head | None, status: int, text: str) -> Response:
        code = _CODES.get(HTTPStatus(status), _INVALID_ARGUMENT)
        if head is not None and not _is_json(head):
            return Response(status, _status(code, text), _PROTOBUF)
        return Response(status, msgspec.json.encode({"code": code, "message": text}), _JSON)


def _is_json(head: Head) -> bool:
    return head.media_type != _PROTOBUF


def _status(code: int, text: str) -> bytes:
    """google.rpc.Status, whose Python class is in no package that this one needs: `code` is its field 1, a varint
    below 128; `message` field 2, a string."""
    message = text[:_TEXT_LIMIT].encode("utf-8", "replace")
    return bytes((0x08, code, 0x12)) + _varint(len(message)) + message


_TEXT_LIMIT: Final = 1_000


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit says that more follow."""
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
