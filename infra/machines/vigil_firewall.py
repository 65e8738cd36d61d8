#!/usr/bin/python3 -I
"""`vigil-firewall VERB`: loads a machine's firewall so that a mistake in it cuts nobody off.

Installed as /usr/local/sbin/vigil-firewall and run through sudo (`infra/machines/sudo_commands.py`); it uses the
standard library alone, and touches no table of nftables but `inet vigil`. A ruleset is refused that says more than
Vigil's do (`refusal`).

    status    says what is loaded, and how many packets were dropped
    apply     loads /etc/vigil/firewall.nft for a trial: unless it is confirmed in time, what was before comes back
    confirm   ends the trial: from now on the unit vigil-firewall.service loads these rules at every boot
    rollback  brings back what was before; run by the machine itself when a trial's time is over

Each answers with one JSON object on standard output.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CONFIRM_WITHIN_S = 45
"""A connection that has to be made takes up to 22 s; twice that."""

FAMILY, TABLE = "inet", "vigil"
TRIAL_UNIT, BOOT_UNIT = "vigil-firewall-trial", "vigil-firewall.service"
PROGRAM = "/usr/local/sbin/vigil-firewall"

# What a ruleset of Vigil says, line by line. Nothing in here reaches another table, another file or another hook.
_ADDRESS = r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?"
_ADDRESSES = rf"\{{ {_ADDRESS}(, {_ADDRESS})* \}}"
_PORTS = r"\{ [0-9]{1,5}(, [0-9]{1,5})* \}"
_COMMENT = r'comment "[A-Za-z0-9 ,.:;()@-]{1,120}"'
LINES = tuple(
    re.compile(line)
    for line in (
        r"#[ -~]*",
        r"table inet vigil",
        r"delete table inet vigil",
        r"table inet vigil \{",
        r"chain input \{",
        r"type filter hook input priority filter; policy drop;",
        r'iif "lo" accept',
        r"ct state established,related accept",
        rf"ct state invalid counter drop {_COMMENT}",
        rf"icmp type [a-z-]+ limit rate [0-9]+/second accept {_COMMENT}",
        rf"ip6 hoplimit 255 icmpv6 type \{{ [a-z, -]+ \}} accept {_COMMENT}",
        rf"udp sport 67 udp dport 68 accept {_COMMENT}",
        rf"tcp dport {_PORTS} (ip saddr (!= )?{_ADDRESSES} )?counter accept {_COMMENT}",
        rf"meta pkttype \{{ broadcast, multicast \}} counter drop {_COMMENT}",
        r'limit rate [0-9]+/minute burst [0-9]+ packets log prefix "vigil-firewall: "',
        rf"counter {_COMMENT}",
        r"\}",
        r"",
    )
)


class Refused(Exception):
    """What was asked for is not done; the text is for a person."""


@dataclass(frozen=True)
class Machine:
    """Where things are on a machine; a test gives another `root` and `programs`."""

    root: Path
    programs: str = "/usr/sbin:/usr/bin:/sbin:/bin"

    @property
    def wanted(self) -> Path:
        """What the deployment wrote."""
        return self.root / "etc/vigil/firewall.nft"

    @property
    def state(self) -> Path:
        return self.root / "var/lib/vigil-firewall"

    @property
    def confirmed(self) -> Path:
        """What the unit loads."""
        return self.state / "rules.nft"

    @property
    def trial(self) -> Path:
        """There while a trial runs."""
        return self.state / "trial.nft"

    def has(self, program: str) -> bool:
        return shutil.which(program, path=self.programs) is not None

    def run(self, command: Sequence[str]) -> str:
        """Runs a program of the machine; returns what it printed.

        Raises:
            Refused: it failed; the text has its own words.
        """
        environment = {"PATH": self.programs, "LANG": "C.UTF-8", "HOME": "/"}
        done = subprocess.run(command, env=environment, capture_output=True, check=False, cwd="/")
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).decode("utf-8", "replace").split())[-1000:]
            raise Refused(f"{' '.join(command[:3])} failed with status {done.returncode}: {said}")
        return done.stdout.decode("utf-8", "replace")


def refusal(ruleset: str) -> str | None:
    """Why a ruleset is not accepted; None: it speaks of nothing but Vigil's own table."""
    for number, line in enumerate(ruleset.split("\n"), start=1):
        if not any(known.fullmatch(line.strip(" \t")) for known in LINES):
            return f"line {number} is not among what a ruleset of Vigil says"
    return None


def status(machine: Machine) -> dict[str, object]:
    """`nftables`: whether the machine has it. `wanted`: the deployment wrote rules; `loaded`: Vigil's table is there;
    `as_wanted`: and is those rules; `trial`: it waits to be confirmed; `dropped`: packets since it was loaded; `rules`:
    as nftables lists them."""
    if not machine.has("nft"):
        return {"nftables": False}
    listed = _listed(machine)
    counted = re.search(r'^\s*counter packets ([0-9]+) bytes [0-9]+ comment "closed"', listed, re.MULTILINE)
    return {
        "nftables": True,
        "wanted": machine.wanted.is_file(),
        "loaded": bool(listed),
        "as_wanted": machine.wanted.is_file() and _stateless(machine) == _as_loaded(machine, machine.wanted),
        "trial": machine.trial.exists(),
        "dropped": int(counted[1]) if counted else 0,
        "rules": listed,
    }


def apply(machine: Machine) -> dict[str, object]:
    """Loads what the deployment wrote, if that is not loaded and confirmed already.

    Raises:
        Refused: there is nothing to load, it says more than it may, or nftables does not take it.
    """
    if not machine.has("nft"):
        return {"nftables": False}
    try:
        ruleset = machine.wanted.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{machine.wanted} cannot be read: {error}") from None
    if reason := refusal(ruleset):
        raise Refused(f"{machine.wanted}: {reason}")
    machine.run(["nft", "-c", "-f", str(machine.wanted)])
    same = machine.confirmed.is_file() and machine.confirmed.read_text(encoding="ascii") == ruleset
    if same and not machine.trial.exists() and _stateless(machine) == _as_loaded(machine, machine.wanted):
        return {"nftables": True, "trial": False}
    machine.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(machine.trial, ruleset)
    # Before the rules: from here on the machine needs nobody to come back.
    _end_timer(machine)
    later = ["--quiet", "--collect", f"--unit={TRIAL_UNIT}", f"--on-active={CONFIRM_WITHIN_S}"]
    machine.run(["systemd-run", *later, PROGRAM, "rollback"])
    machine.run(["nft", "-f", str(machine.trial)])
    return {"nftables": True, "trial": True, "within_s": CONFIRM_WITHIN_S}


def confirm(machine: Machine) -> dict[str, object]:
    """Keeps what is on trial.

    Raises:
        Refused: nothing is; its time was over.
    """
    if not machine.trial.exists():
        raise Refused("no rules are on trial: the time was over, and those of before are back")
    _end_timer(machine)
    machine.trial.replace(machine.confirmed)
    # So that systemd shows it and takes the table away when the unit is stopped; it loads the same once more.
    machine.run(["systemctl", "start", BOOT_UNIT])
    return {"confirmed": True}


def rollback(machine: Machine) -> dict[str, object]:
    """Brings back what was before the trial: the rules that were confirmed last, or none."""
    if not machine.trial.exists():
        return {"rolled_back": False}
    if machine.confirmed.exists():
        machine.run(["nft", "-f", str(machine.confirmed)])
    elif _listed(machine):
        machine.run(["nft", "delete", "table", FAMILY, TABLE])
    machine.trial.unlink()
    return {"rolled_back": True}


def _listed(machine: Machine, *options: str) -> str:
    try:
        return machine.run(["nft", *options, "list", "table", FAMILY, TABLE])
    except Refused:  # there is none
        return ""


def _stateless(machine: Machine) -> str:
    return _listed(machine, "-s")


def _as_loaded(machine: Machine, file: Path) -> str:
    """How nftables lists a ruleset when it is loaded: found out in a network that ends with the question."""
    script = f'nft -f "$0" && nft -s list table {FAMILY} {TABLE}'
    return machine.run(["unshare", "--net", "sh", "-c", script, str(file)])


def _end_timer(machine: Machine) -> None:
    units = [f"{TRIAL_UNIT}.timer", f"{TRIAL_UNIT}.service"]
    shown = machine.run(["systemctl", "show", "--property=ActiveState", "--value", units[0]])
    if shown.strip() == "active":
        machine.run(["systemctl", "stop", units[0]])


def _write(place: Path, text: str) -> None:
    draft = place.with_name(f".{place.name}.part")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(place)


@contextmanager
def alone(machine: Machine) -> Iterator[None]:
    """One at a time: a trial's end may come while it is confirmed."""
    machine.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (machine.state / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def act(verb: str, machine: Machine) -> Mapping[str, object]:
    """Does what a verb says.

    Raises:
        Refused: it is not done.
    """
    verbs = {"status": status, "apply": apply, "confirm": confirm, "rollback": rollback}
    if verb not in verbs:
        raise Refused(f"no such verb: {verb!r}; there are {', '.join(verbs)}")
    with alone(machine):
        return verbs[verb](machine)


def main() -> None:
    """Entry point."""
    os.umask(0o077)
    try:
        if len(sys.argv) != 2:
            raise Refused("takes one verb")
        answer = act(sys.argv[1], Machine(Path("/")))
    except (Refused, OSError) as error:
        print(f"vigil-firewall: {error}", file=sys.stderr)
        sys.exit(1)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
