"""Secrets as files in a folder that systemd makes for one start of one unit (`LoadCredential=`, systemd.exec(5)).

The folder's path is in `CREDENTIALS_DIRECTORY`; it is in memory, and only the unit's processes can read it. A secret of
the settings is in the file named after its field (`kafka_password`), one that a rule file names by a variable in the
file named after that.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from streaming.errors import ConfigError


def folder() -> Path | None:
    """Where this process's credentials are; None: it was given none."""
    given = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return Path(given) if given else None


def credential(name: str) -> str | None:
    """The credential of that name, without white space around it; None: this process was not given it.

    Raises:
        ConfigError: it is there but cannot be read, or is no text.
    """
    place = folder()
    if place is None or "/" in name or name.startswith("."):
        return None
    try:
        return (place / name).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"a credential cannot be read ({error.strerror})", file=place / name) from error
    except UnicodeDecodeError:
        # The error would show the bytes.
        raise ConfigError("a credential is no text", file=place / name) from None


class CredentialsSource(PydanticBaseSettingsSource):
    """Settings that are secrets, from the credentials of this process; other settings have no business there.

    pydantic's own source of this kind warns of a folder that is not there, and hides why a file cannot be read.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[str | None, str, bool]:
        """The secret, the key it is validated under, and that it is no JSON."""
        alias = field.validation_alias
        key = alias if isinstance(alias, str) else field_name
        return credential(field_name) if field.annotation is SecretStr else None, key, False

    def __call__(self) -> dict[str, str]:
        """Those that were given."""
        fields = self.settings_cls.model_fields.items()
        found = (self.get_field_value(field, name)[:2] for name, field in fields)
        return {key: value for value, key in found if value is not None}
