"""Runs Terraform or OpenTofu as a subprocess, on the module of this checkout and the state of one deployment."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from streaming.errors import ConfigError, VigilError
from streaming.settings import CHECKOUT

MODULE: Final = CHECKOUT / "infra" / "terraform-virtualbox"
PROGRAMS: Final = ("terraform", "tofu")
VARIABLE: Final = "VIGIL_TERRAFORM"
DATA: Final = "terraform"
"""Folder of what Terraform itself keeps, below the deployment's; `init` writes there which state is meant."""

ENDS_WITHIN_S = 300.0
"""After it was asked to end: it lets the step in hand finish, which may be the cloning of a disk."""

Report = Callable[[str], None]
"""Is given each line of progress."""


_OUTPUTS: Final = "Outputs:"
"""Begins what is printed of them after an apply: pages that nobody reads there."""


class TerraformFailed(VigilError):
    """Terraform ended with an error; the text holds what it said."""


def program() -> str:
    """Path of the engine: what VIGIL_TERRAFORM names, else `terraform` or `tofu` of the path.

    Raises:
        ConfigError: there is none.
    """
    wanted = os.environ.get(VARIABLE)
    for name in (wanted,) if wanted else PROGRAMS:
        if found := shutil.which(name):
            return found
    raise ConfigError(
        f"{wanted!r} is no program" if wanted else "neither terraform nor tofu is on the path",
        field=VARIABLE if wanted else None,
        remedy="Install Terraform 1.6 or later, or OpenTofu, or name one with VIGIL_TERRAFORM",
    )


class Engine:
    """One deployment's. `folder` holds its state, its data and its plans, and is private; for one caller at a time,
    which Terraform's own lock on the state enforces.

    No provider is fetched and nobody is asked anything: the module needs what is built in, and input is off.
    """

    def __init__(self, folder: Path, report: Report, engine: str | None = None) -> None:
        self.folder, self._report = folder, report
        self._program = engine or program()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.state = folder / "terraform.tfstate"
        self.variables = folder / "terraform.tfvars.json"

    def init(self) -> None:
        """Prepares the folder; quick, and harmless where that is done.

        Raises:
            TerraformFailed: it cannot.
        """
        # What an earlier version was told (a state by -state, and no backend) is not asked about: the file is the same.
        place = f"-backend-config=path={self.state}"
        self._checked("init", "-input=false", "-no-color", "-reconfigure", place, quiet=True)

    def plan(self, out: Path, *, destroy: bool = False, replace: tuple[str, ...] = ()) -> bool:
        """Plans into a file (0600); whether anything is to be changed.

        Raises:
            TerraformFailed: a variable is wrong, the state is locked, ...
        """
        options = [*(["-destroy"] if destroy else []), *(f"-replace={address}" for address in replace)]
        status, said = self._run(
            "plan", "-input=false", "-no-color", "-detailed-exitcode", *self._named(), *options,
            f"-out={out}", quiet=True,
        )  # fmt: skip
        if status not in (0, 2):
            raise _failure("plan", said)
        out.chmod(0o600)
        return status == 2

    def shown(self, plan: Path) -> bytes:
        """A plan as JSON (`terraform show -json`).

        Raises:
            TerraformFailed: it is none of this engine's.
        """
        return self._checked("show", "-json", str(plan), quiet=True).encode()

    def apply(self, plan: Path) -> None:
        """Applies exactly this plan, with each line told as it comes. A plan that the state has left behind is refused.

        An interruption (an exception in this thread, such as that of a task that is ended) is handed on as one SIGINT,
        and waited for: Terraform then finishes its step and keeps its state.

        Raises:
            TerraformFailed: a step failed; what was made before it is in the state, and planned from next time.
        """
        self._checked("apply", "-input=false", "-no-color", str(plan))

    def outputs(self) -> bytes:
        """The outputs of what was applied last, as JSON; `{}` where nothing was.

        Raises:
            TerraformFailed: the state cannot be read.
        """
        self._prepared()
        return self._checked("output", "-json", "-no-color", quiet=True).encode()

    def addresses(self) -> list[str]:
        """Of all that the state holds.

        Raises:
            TerraformFailed: the state cannot be read.
        """
        if not self.state.exists():
            return []
        self._prepared()
        return self._checked("state", "list", quiet=True).split("\n")

    def _prepared(self) -> None:
        """Where `init` was not run since the folder was moved, its data was removed, or its version had no backend."""
        try:
            known = json.dumps(str(self.state)) in (self.folder / DATA / "terraform.tfstate").read_text("utf-8")
        except FileNotFoundError:
            known = False
        if not known:
            self.init()

    def _named(self) -> list[str]:
        return [f"-var-file={self.variables}"]

    def _checked(self, *arguments: str, quiet: bool = False) -> str:
        status, said = self._run(*arguments, quiet=quiet)
        if status != 0:
            raise _failure(arguments[0], said)
        return said

    def _run(self, *arguments: str, quiet: bool = False) -> tuple[int, str]:
        """Status and output. `quiet`: the output is for us and not for the person who waits."""
        with subprocess.Popen(
            [self._program, f"-chdir={MODULE}", *arguments],
            env=_environment(self.folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            umask=0o077,
            start_new_session=True,  # a Ctrl-C reaches us, and is handed on once
        ) as process:
            said = []
            try:
                for line in process.stdout or ():
                    said.append(line)
                    quiet = quiet or line.startswith(_OUTPUTS)
                    if not quiet and line.strip():
                        self._report(line.rstrip())
            except BaseException:
                _interrupt(process, self._report)
                raise
        return process.returncode, "".join(said)


def _environment(folder: Path) -> Mapping[str, str]:
    # A file that TF_CLI_CONFIG_FILE names must be there, and a user's own could name other registries.
    cli = folder / "terraform.rc"
    cli.touch(mode=0o600)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_VAR_", "TF_CLI_ARGS"))}
    return kept | {
        "TF_DATA_DIR": str(folder / DATA),
        "TF_CLI_CONFIG_FILE": str(cli),
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
    }


def _interrupt(process: subprocess.Popen[str], report: Report) -> None:
    """One SIGINT lets it finish its step; a second one would make it forget what it has made."""
    if process.poll() is None:
        report("interrupted: Terraform finishes the step in hand")
        process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


LINES_OF_AN_ERROR = 40


def _failure(what: str, said: str) -> TerraformFailed:
    """The errors of an output, without the boxes that Terraform draws around them."""
    lines = [line.lstrip("│╷╵ ").rstrip() for line in said.splitlines()]
    starts = [number for number, line in enumerate(lines) if line.startswith("Error: ")]
    told = [line for line in lines[starts[0] :] if line] if starts else [line for line in lines if line]
    kept = told[:LINES_OF_AN_ERROR] if starts else told[-LINES_OF_AN_ERROR:]
    return TerraformFailed(f"terraform {what} failed: " + "\n".join(kept).removeprefix("Error: "))
