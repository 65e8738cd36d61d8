"""The NoCloud seed of a machine: a small ISO image that cloud-init reads at first boot. It holds no secret."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path

from vbox.errors import VboxError

LABEL = "cidata"
"""The volume's name, by which cloud-init finds it."""


def write(target: Path, files: Mapping[str, str]) -> None:
    """Writes the image, mode 0600, in place of an earlier one.

    Args:
        files: name to content of `meta-data`, `user-data` and `network-config`.

    Raises:
        VboxError: pycdlib is missing, or the image cannot be written.
    """
    try:
        import pycdlib
    except ImportError:
        raise VboxError(
            "this Python has no pycdlib", remedy="Install it (pip install pycdlib), or set the variable python"
        ) from None
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    for name, text in files.items():
        content = text.encode()
        iso.add_fp(
            io.BytesIO(content),
            len(content),
            f"/{name.upper().replace('-', '_')}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
        )
    part = target.with_name(target.name + ".part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            iso.write_fp(file)
        part.chmod(0o600)
        part.replace(target)
    except OSError as error:
        raise VboxError(f"the seed {target} cannot be written ({error.strerror})") from error
    finally:
        iso.close()
