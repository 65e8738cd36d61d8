"""What Slack takes for a message, by its reference and, of the size of all blocks, by what people report."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

MAX_BLOCKS, MAX_TEXT, MAX_FIELDS, MAX_FIELD, MAX_MESSAGE = 50, 3000, 10, 2000, 40_000
MAX_ELEMENTS, MAX_ACTION_ID, MAX_VALUE, MAX_BUTTON_TEXT = 25, 255, 2000, 75
MAX_ALL_BLOCKS = 13_000
"""Characters of all blocks as JSON (`msg_blocks_too_long`); the reference does not say so."""

MAX_METADATA = 2_000
"""Bytes of metadata as JSON; Slack refuses what is too large, and does not say how much that is: this is strict."""

_LINK = re.compile(r"<([^>]*)>")


def content_fault(arguments: dict[str, object]) -> str | None:
    """The error that Slack would answer to a message with this content; None: it takes it."""
    text, blocks = str(arguments.get("text") or ""), blocks_in(arguments)
    if arguments.get("parse") not in (None, "none", "full", "client"):
        return "invalid_arguments"
    if len(text) > MAX_MESSAGE:
        return "msg_too_long"
    if not text and not blocks:
        return "no_text"
    if len(blocks) > MAX_BLOCKS or not all(_good_block(block) for block in blocks):
        return "invalid_blocks"
    if len(json.dumps(blocks, ensure_ascii=False)) > MAX_ALL_BLOCKS:
        return "msg_blocks_too_long"
    return _metadata_fault(arguments.get("metadata"))


def makes_links(arguments: dict[str, object]) -> bool:
    """Whether Slack would make links of addresses in what people see: in blocks unless they are verbatim, in text that
    stands alone unless `parse` says no."""
    blocks = blocks_in(arguments)
    if not blocks:
        return arguments.get("parse") != "none"
    return any(not found.get("verbatim") for found in _mrkdwn_in(blocks))


def _mrkdwn_in(value: object) -> Iterator[dict[str, object]]:
    if isinstance(value, list):
        for inner in value:
            yield from _mrkdwn_in(inner)
    elif isinstance(value, dict):
        if value.get("type") == "mrkdwn":
            yield value
        yield from _mrkdwn_in(list(value.values()))


def blocks_in(arguments: dict[str, object]) -> list[dict[str, object]]:
    """The blocks of a request."""
    blocks = arguments.get("blocks")
    return list(blocks) if isinstance(blocks, list) else []


def _metadata_fault(metadata: object) -> str | None:
    if metadata is None:
        return None
    if not isinstance(metadata, dict) or not isinstance(metadata.get("event_type"), str):
        return "invalid_metadata_format"
    payload = metadata.get("event_payload")
    if not isinstance(payload, dict) or not all(isinstance(v, str | int | float | bool) for v in payload.values()):
        return "invalid_metadata_format"
    return "metadata_too_large" if len(json.dumps(metadata).encode()) > MAX_METADATA else None


def _good_block(block: dict[str, object]) -> bool:
    kind = block.get("type")
    if kind == "context":
        elements = block.get("elements")
        return (
            isinstance(elements, list) and 1 <= len(elements) <= 10 and all(_good_text(e, MAX_TEXT) for e in elements)
        )
    if kind == "actions":
        elements = block.get("elements")
        if not isinstance(elements, list) or not 1 <= len(elements) <= MAX_ELEMENTS:
            return False
        names = [e.get("action_id") for e in elements if isinstance(e, dict)]
        return len(set(names)) == len(elements) and all(_good_button(e) for e in elements)
    if kind != "section":
        return False
    fields, accessory = block.get("fields"), block.get("accessory")
    if accessory is not None and not _good_button(accessory):
        return False
    if fields is not None and not (
        isinstance(fields, list) and 1 <= len(fields) <= MAX_FIELDS and all(_good_text(f, MAX_FIELD) for f in fields)
    ):
        return False
    return fields is not None or _good_text(block.get("text"), MAX_TEXT)


def _good_button(button: object) -> bool:
    if not isinstance(button, dict) or button.get("type") != "button":
        return False
    text, action, value = button.get("text"), button.get("action_id"), button.get("value")
    return (
        _good_text(text, MAX_BUTTON_TEXT)
        and isinstance(text, dict)
        and text["type"] == "plain_text"
        and isinstance(action, str)
        and 1 <= len(action) <= MAX_ACTION_ID
        and (value is None or (isinstance(value, str) and 1 <= len(value) <= MAX_VALUE))
        and button.get("style") in (None, "primary", "danger")
    )


def _good_text(text: object, limit: int) -> bool:
    return (
        isinstance(text, dict)
        and text.get("type") in ("mrkdwn", "plain_text")
        and isinstance(text.get("verbatim", False), bool)
        and (text["type"] == "mrkdwn" or "verbatim" not in text)
        and isinstance(text.get("text"), str)
        and 1 <= len(text["text"]) <= limit
        and all("\n" not in inner for inner in _LINK.findall(text["text"]))
    )
