"""Files of variables for units (`EnvironmentFile=`), in systemd's own quoting. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from streaming.errors import ConfigError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def environment_file(variables: Mapping[str, str]) -> str:
    """One line for each variable, sorted; whatever a value holds, a program gets just that.

    Raises:
        ConfigError: a name is none, or a value holds what no line can: an end of line, or another control character.
    """
    lines = []
    for name, value in sorted(variables.items()):
        if not _NAME.fullmatch(name):
            raise ConfigError("is no name of a variable", field=name)
        if not all(c.isprintable() or c == "\t" for c in value):
            raise ConfigError("holds an end of line or another control character", field=name)
        quoted = re.sub(r'(["\\$`])', r"\\\1", value)
        lines.append(f'{name}="{quoted}"\n')
    return "".join(lines)
