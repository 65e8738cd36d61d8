"""The files of the Slack that keeps Slack's rules: reserved by size, uploaded to a place of their own, then shared.

Errors by Slack's reference: missing_argument (a length of 0, no name), alt_txt_too_large, file_upload_size_restricted,
file_not_found, channel_not_found (a name is none: files are shared by a channel's id), thread_not_found. The place of
an upload takes no token, once only, and just as many bytes as were reserved (HTTP 400).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MAX_FILE = 1_000_000_000
MAX_ALT_TEXT = 1_000


@dataclass
class SlackFile:
    """A file, as it stands; it is seen once it is shared."""

    id: str
    name: str
    length: int
    alt_text: str = ""
    content: bytes | None = None
    title: str = ""
    channel: str | None = None
    thread_ts: str | None = None
    comment: str = ""


class FileShelf:
    """All files, by id; `status` is what the next upload answers if it is not to be 200."""

    def __init__(self) -> None:
        self.files: dict[str, SlackFile] = {}
        self.status = 200
        self.largest = MAX_FILE

    @property
    def shared(self) -> list[SlackFile]:
        """Those that people see, in the order in which they were reserved."""
        return [file for file in self.files.values() if file.channel is not None]

    def reserve(self, arguments: Mapping[str, object], base: str) -> dict[str, object]:
        """`files.getUploadURLExternal`; uploads go below `base`."""
        name, length = str(arguments.get("filename") or ""), str(arguments.get("length") or "")
        alt_text = str(arguments.get("alt_txt") or "")
        if not name or not length.isdecimal() or int(length) == 0:
            return {"ok": False, "error": "missing_argument"}
        if len(alt_text) > MAX_ALT_TEXT:
            return {"ok": False, "error": "alt_txt_too_large"}
        if int(length) > self.largest:
            return {"ok": False, "error": "file_upload_size_restricted"}
        file = SlackFile(f"F{len(self.files) + 1:010d}", name, int(length), alt_text)
        self.files[file.id] = file
        return {"ok": True, "file_id": file.id, "upload_url": f"{base}upload/v1/{file.id}"}

    def upload(self, file_id: str, content: bytes) -> int:
        """The upload itself; its HTTP status."""
        if self.status != 200:
            status, self.status = self.status, 200
            return status
        file = self.files.get(file_id)
        if file is None or file.content is not None or len(content) != file.length:
            return 400
        file.content = content
        return 200

    def complete(
        self, arguments: Mapping[str, object], is_channel: Callable[[str], bool], has_thread: Callable[[str, str], bool]
    ) -> dict[str, object]:
        """`files.completeUploadExternal`: all of the files or none."""
        wanted = json.loads(str(arguments.get("files") or "[]"))
        if not wanted or not all(isinstance(one, dict) and one.get("id") for one in wanted):
            return {"ok": False, "error": "invalid_arguments"}
        found = [self.files.get(str(one["id"])) for one in wanted]
        if not all(file is not None and file.content is not None and file.channel is None for file in found):
            return {"ok": False, "error": "file_not_found"}
        channel, thread = str(arguments.get("channel_id") or ""), str(arguments.get("thread_ts") or "")
        if channel and not is_channel(channel):
            return {"ok": False, "error": "channel_not_found"}
        if thread and not has_thread(channel, thread):
            return {"ok": False, "error": "thread_not_found"}
        for file, one in zip(found, wanted, strict=True):
            assert file is not None
            file.title, file.channel, file.thread_ts = (
                str(one.get("title") or file.name),
                channel or None,
                thread or None,
            )
            file.comment = str(arguments.get("initial_comment") or "")
        return {"ok": True, "files": [{"id": file.id, "title": file.title} for file in found if file is not None]}
