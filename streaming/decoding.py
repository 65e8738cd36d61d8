"""JSON and MessagePack into typed messages, safe in a process of several threads.

msgspec learns a type when it is first decoded, and keeps what it learns at the type; it puts it there before it is
complete. A second thread that decodes the same type at that moment reads what is not there yet, and the process ends
by SIGSEGV (msgspec 0.22; the indexer, two threads, died of it a second after its start). So one thread at a time
learns, and every typed decoding of the platform goes this way; `tests/unit/streaming/test_decoding.py` holds it to
that.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar, cast, overload

import msgspec

T = TypeVar("T")

_known: dict[tuple[object, bool], msgspec.json.Decoder[Any]] = {}
_learning = threading.Lock()


@overload
def decoder(kind: type[T], *, strict: bool = True) -> msgspec.json.Decoder[T]: ...
@overload
def decoder(kind: object, *, strict: bool = True) -> msgspec.json.Decoder[Any]: ...
def decoder(kind: object, *, strict: bool = True) -> msgspec.json.Decoder[Any]:
    """Of this type, or union of types; the same one each time. Any thread may use it. Where it is not `strict`, texts
    pass for numbers and booleans.

    Raises:
        TypeError: msgspec cannot decode into that.
    """
    key = (kind, strict)
    found = _known.get(key)
    if found is None:
        with _learning:
            found = _known.get(key)
            if found is None:
                found = _known[key] = msgspec.json.Decoder(cast(Any, kind), strict=strict)
    return found


@overload
def decode(raw: bytes | str, kind: type[T], *, strict: bool = True) -> T: ...
@overload
def decode(raw: bytes | str, kind: object, *, strict: bool = True) -> Any: ...
def decode(raw: bytes | str, kind: object, *, strict: bool = True) -> Any:
    """JSON text into this type.

    Raises:
        msgspec.DecodeError: it is no JSON, or (ValidationError) not of that shape; the text names the field.
    """
    return decoder(kind, strict=strict).decode(raw)


def converted(value: object, kind: type[T]) -> T:
    """Dictionaries, lists and plain values into this type.

    Raises:
        msgspec.ValidationError: they are not of that shape; the text names the field.
    """
    decoder(kind)
    return msgspec.convert(value, kind)


def unpacked(raw: bytes, kind: type[T]) -> T:
    """MessagePack into this type.

    Raises:
        msgspec.DecodeError: as `decode`.
    """
    decoder(kind)
    return msgspec.msgpack.decode(raw, type=kind)
