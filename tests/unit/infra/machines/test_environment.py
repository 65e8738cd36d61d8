"""Variables for units; what systemd makes of them is tested on a machine."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.machines.environment import environment_file
from streaming.errors import ConfigError

NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,10}", fullmatch=True)
VALUES = st.text("aZ09_ \"'\\$`#%;=!&|~ü…", max_size=30)


@settings(max_examples=50)
@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_values_arrive_as_they_are(variables: dict[str, str]) -> None:
    """A shell's rules within double quotes are systemd's, but that a shell would also take `$` and a backtick."""
    lines = environment_file(variables).splitlines()
    read = dict(shlex.split(line.replace("\\$", "$").replace("\\`", "`"))[0].split("=", 1) for line in lines)
    assert read == variables
    assert list(read) == sorted(variables)


@pytest.mark.parametrize("value", ["a\nB=1", "a\rb", "a\0b", "\x1b[2J"])
def test_what_no_line_can_hold_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="VIGIL_UI_URL: holds an end of line") as caught:
        environment_file({"VIGIL_UI_URL": value})
    assert value not in str(caught.value)


@pytest.mark.parametrize("name", ["", "A B", "1A", "A=B", "A\n"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is no name"):
        environment_file({name: "x"})
