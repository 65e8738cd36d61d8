"""Terraform (or OpenTofu) over the module, with its state and data in a test's own folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MODULE = Path(__file__).parents[3] / "infra" / "terraform-virtualbox"


def engine() -> str | None:
    """The program; None where neither is installed."""
    return shutil.which("terraform") or shutil.which("tofu")


@dataclass
class Terraform:
    """One state of the module. `variables` are its input variables, `environment` what processes see beside."""

    folder: Path
    variables: Mapping[str, object]
    environment: Mapping[str, str]

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "empty.tfrc").touch()
        (self.folder / "test.tfvars.json").write_text(json.dumps(self.variables), encoding="utf-8")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begins a command."""
        program = engine()
        assert program is not None
        return subprocess.Popen(
            [program, f"-chdir={MODULE}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **{key: value for key, value in os.environ.items() if not key.startswith("TF_")},
                # TF_CLI_CONFIG_FILE may name a file that is missing here.
                "TF_CLI_CONFIG_FILE": str(self.folder / "empty.tfrc"),
                "TF_DATA_DIR": str(self.folder / "data"),
                "TF_IN_AUTOMATION": "1",
                "CHECKPOINT_DISABLE": "1",
                **self.environment,
            },
        )

    def run(self, *arguments: str, status: int = 0) -> str:
        """Runs a command to its end, which must be `status`, and gives what it wrote."""
        process = self.start(*arguments)
        out, _ = process.communicate(timeout=240)
        assert process.returncode == status, out
        return out

    def init(self) -> None:
        """Before anything else; fetches nothing."""
        place = f"-backend-config=path={self.folder / 'terraform.tfstate'}"
        self.run("init", "-input=false", "-no-color", "-reconfigure", place)

    def words(self, command: str, *more: str) -> list[str]:
        """The arguments of a command over this state."""
        named = f"-var-file={self.folder / 'test.tfvars.json'}"
        return [command, "-input=false", "-no-color", named, *more]

    def apply(self, *more: str, status: int = 0) -> str:
        """`apply` without a question."""
        return self.run(*self.words("apply", "-auto-approve", *more), status=status)

    def destroy(self, status: int = 0) -> str:
        """`destroy` without a question."""
        return self.run(*self.words("destroy", "-auto-approve"), status=status)

    def plan(self, *arguments: str, status: int) -> str:
        """`plan`; status 0: no changes, 2: changes."""
        return self.run(*self.words("plan", "-detailed-exitcode"), *arguments, status=status)

    def forget(self) -> None:
        """Removes the state, as if nothing had been applied."""
        for file in self.folder.glob("terraform.tfstate*"):
            file.unlink()

    def output(self, name: str) -> object:
        """One output."""
        return json.loads(self.run("output", "-json", name))
