"""The client key of a deployment: made at first use, and never anywhere but in its file."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

import asyncssh

from streaming.errors import ConfigError

PUBLIC_SUFFIX = ".pub"


def key_file(folder: Path) -> Path:
    """Where a deployment whose state is in `folder` keeps its key."""
    return folder / "ssh" / "id_ed25519"


def ensure_key(file: Path, comment: str) -> str:
    """The public half of the Ed25519 key in `file`, as `authorized_keys` wants it, the key made if there is none.

    The file is whole or not there, readable by its owner alone, and so is a folder that is made for it. Of two
    processes that make it at once, one wins and both return its key.

    Raises:
        ConfigError: the file cannot be written, others may read it, or it holds no key without a passphrase.
    """
    if not file.exists():
        _make(file, comment)
    return public_half(load_key(file))


def load_key(file: Path) -> asyncssh.SSHKey:
    """The private key in `file`.

    Raises:
        ConfigError: it is missing, others may read it, or it holds no key without a passphrase.
    """
    try:
        found = file.stat()
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise ConfigError("others may read this private key", file=file, remedy=f"`chmod 600 {file}`")
        return asyncssh.read_private_key(file)
    except OSError as error:
        raise ConfigError(
            f"the private key cannot be read ({error.strerror})", file=file, remedy="A deployment makes it"
        ) from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise ConfigError(f"holds no usable private key ({error})", file=file, remedy="Put it aside") from None


def public_half(key: asyncssh.SSHKey) -> str:
    """One line, without its end: type, key, comment."""
    return key.export_public_key("openssh").decode("ascii").strip()


def _make(file: Path, comment: str) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
    draft = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(key.export_private_key("openssh"))
            out.flush()
            # A machine that was made with the public half must not outlive the private one.
            os.fsync(out.fileno())
        try:
            os.link(draft, file)  # never over another's
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    except OSError as error:
        raise ConfigError(
            f"the key cannot be written ({error.strerror})", file=file, remedy="Is the folder yours?"
        ) from error
