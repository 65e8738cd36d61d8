"""What the operator account may run as root on a machine: exact commands and nothing else.

The one source: `infra.machines.systemd` and `infra.machines.administration` build their command lines from here, and
the sudoers file in the machines' seed is `sudoers` word for word (a test compares them). No entry has a wildcard, which
in sudoers would match spaces, and so further arguments. What needs no root (`systemctl show`, `cloud-init status`) is
not listed.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from infra.machines.placement import UNITS

OPERATOR = "vigil-operator"
"""The account that is reached by SSH; it logs in by key alone."""

SYSTEMCTL, JOURNALCTL = "/usr/bin/systemctl", "/usr/bin/journalctl"
OWN = ("admin", "install", "packages", "firewall")
ADMIN, INSTALL, PACKAGES, FIREWALL = (f"/usr/local/sbin/vigil-{name}" for name in OWN)
"""Vigil's own, put there before any deployment: `infra/machines/vigil_admin.py`, `vigil_install.py`,
`vigil_packages.py` and `vigil_firewall.py`."""

FEW_LINES, MANY_LINES = 20, 1000
"""Journal lines that can be asked for: enough for a reason, and all that a person reads."""


class UnitVerb(StrEnum):
    """What is done to a unit."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    RESET_FAILED = "reset-failed"
    """Forgets a failure and the count of starts, so that the next start is not refused."""


class AdminVerb(StrEnum):
    """What the administration program of a machine does (`infra/machines/vigil_admin.py`)."""

    COMPARE = "compare"
    CONFIGURE = "configure"
    KAFKA_USERS = "kafka-users"
    KAFKA_DISK = "kafka-disk"
    UNINSTALL = "uninstall"


class FirewallVerb(StrEnum):
    """What is done to a machine's firewall (`infra/machines/vigil_firewall.py`)."""

    STATUS = "status"
    APPLY = "apply"
    CONFIRM = "confirm"


# Without it systemctl would wait: for a notifying unit until it says that it is ready.
_AT_ONCE = frozenset({UnitVerb.START, UnitVerb.RESTART})


def unit_command(verb: UnitVerb, unit: str) -> list[str]:
    """Starts and restarts return when they are asked for; a stop returns when the unit has ended."""
    return [SYSTEMCTL, verb, *(["--no-block"] if verb in _AT_ONCE else []), unit]


def journal_command(unit: str, lines: int) -> list[str]:
    """The last lines of a unit's journal; `lines` is FEW_LINES or MANY_LINES."""
    if lines not in (FEW_LINES, MANY_LINES):
        raise ValueError(f"{lines} is neither {FEW_LINES} nor {MANY_LINES}")
    return [JOURNALCTL, "-u", unit, "-n", str(lines), "-o", "short-iso", "-q", "--no-pager"]


def admin_command(verb: AdminVerb) -> list[str]:
    """Its input comes from standard input, so that no secret is in a command line."""
    return [ADMIN, verb]


def install_command() -> list[str]:
    """Makes the environment of the services from what was uploaded."""
    return [INSTALL]


def packages_command() -> list[str]:
    """Installs the packages that standard input asks for, of those that Vigil uses."""
    return [PACKAGES]


def firewall_command(verb: FirewallVerb) -> list[str]:
    """Loads the rules that were brought as a file, or says what is loaded."""
    return [FIREWALL, verb]


def allowed() -> list[list[str]]:
    """Every command of the list, without `sudo`."""
    units = [unit_command(verb, unit) for unit in UNITS for verb in UnitVerb]
    journals = [journal_command(unit, lines) for unit in UNITS for lines in (FEW_LINES, MANY_LINES)]
    own = [*(admin_command(verb) for verb in AdminVerb), install_command(), packages_command()]
    return [*units, *journals, *own, *(firewall_command(verb) for verb in FirewallVerb)]


def sudo(command: Iterable[str]) -> list[str]:
    """The command line that runs it as root without ever asking for a password."""
    return ["/usr/bin/sudo", "-n", "--", *command]


def sudoers() -> str:
    """The sudoers file of a machine, for /etc/sudoers.d."""
    # `""`: no arguments. A command that is listed without any may be given all.
    commands = (" ".join(command) if len(command) > 1 else f'{command[0]} ""' for command in allowed())
    lines = [f"{OPERATOR} ALL=(root) NOPASSWD: {command}" for command in commands]
    head = [f"Defaults:{OPERATOR} !requiretty, env_reset, !setenv"]
    return "\n".join([*head, *lines]) + "\n"
