"""Secrets of receivers: rule files say where one is, and it is read only where it is used.

A secret is held as `SecretStr`, whose text and representation are asterisks; no error message shows one.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pydantic import SecretStr

from streaming.alerting.rules.routes import Secret
from streaming.credentials import credential
from streaming.errors import ConfigError

SIZE_LIMIT = 64 * 1024
"""Bytes of a secret's file. Tokens and keys have some hundred; more is another file than was meant."""


def resolve(secret: Secret, receiver: str) -> SecretStr:
    """The secret itself, without white space around it.

    Raises:
        ConfigError: it is not there, is empty, or its file may be read by others; it names the receiver.
    """
    if secret.env is not None:
        given = os.environ.get(secret.env, "") or credential(secret.env) or ""
        text, place = given, f"environment variable {secret.env}"
    else:
        file = Path(secret.file or "").expanduser()
        text, place = private_text(file, f"receiver {receiver}"), str(file)
    text = text.strip()
    if not text:
        raise ConfigError(f"receiver {receiver}: its secret is empty or not there: {place}")
    return SecretStr(text)


def private_text(file: Path, whose: str) -> str:
    """What is in the file of a secret, whose mode is looked at once it is open: it cannot be exchanged in between.

    Raises:
        ConfigError: it cannot be read, is no text, or may be read by others; the text begins with `whose`.
    """
    try:
        # Non-blocking, so that a FIFO in its place does not hold the notifier up.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as opened:  # noqa: PTH123 -- a descriptor, not a path
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise ConfigError(f"{whose}: its secret is no regular file", file=file)
            if found.st_mode & 0o077:
                mode = stat.S_IMODE(found.st_mode)
                raise ConfigError(
                    f"{whose}: its secret may be read by others (mode {mode:04o})",
                    file=file,
                    remedy=f"chmod 0600 {file}",
                )
            value = opened.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise ConfigError(f"{whose}: its secret cannot be read: {error.strerror}", file=file) from error
    if len(value) > SIZE_LIMIT:
        raise ConfigError(f"{whose}: its secret is larger than {SIZE_LIMIT} bytes", file=file)
    try:
        return value.decode()
    except UnicodeDecodeError:
        # The error would show the bytes.
        raise ConfigError(f"{whose}: its secret is no text", file=file) from None
