"""What a person wants of a deployment to VirtualBox, by the DAG's form or a file: checked, then given to Terraform."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.machines.placement import Role
from streaming.errors import ConfigError


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Image(_Strict):
    """The cloud image that all machines begin from."""

    source: str = Field(min_length=1, description="path, or https URL")
    checksum: str = Field(
        pattern=r"^(sha256:[0-9a-fA-F]{64}|sha512:[0-9a-fA-F]{128})$", description="sha256:HEX or sha512:HEX"
    )
    format: Literal["auto", "vmdk", "vdi", "raw", "ova", "tar.xz"] = "auto"


class Node(_Strict):
    """One machine."""

    number: int = Field(ge=4, le=254, description="last part of its address")
    roles: tuple[Role, ...] = Field(min_length=1)
    cpus: int = Field(2, ge=1, le=64)
    memory_mb: int = Field(4096, ge=1024)
    disk_gb: int = Field(20, ge=4, le=2048)


class PortBases(_Strict):
    """Host ports on 127.0.0.1 are these plus a node's number."""

    ssh: int = Field(2200, ge=1024, le=65000)
    kafka: int = Field(19000, ge=1024, le=65000)
    elasticsearch: int = Field(19200, ge=1024, le=65000)
    kibana: int = Field(19600, ge=1024, le=65000)


TWO_MACHINES = {
    "producer": Node(
        number=11,
        roles=(
            Role.CONTROLLER, Role.BROKER, Role.INDEXING, Role.COLLECTING, Role.SERVICES, Role.STANDBY,
        ),
    ),
    "consumer": Node(number=12, roles=(Role.BROKER, Role.ELASTICSEARCH, Role.KIBANA, Role.ALERTING)),
}  # fmt: skip


class Wanted(_Strict):
    """All that a deployment to VirtualBox is told; what is left away has the default of the module."""

    image: Image
    guest_family: Literal["debian", "ubuntu"] = "debian"
    network: str = "10.77.0.0/24"
    dns: tuple[str, ...] = ()
    nodes: dict[str, Node] = Field(default_factory=lambda: dict(TWO_MACHINES), min_length=1)
    port_bases: PortBases = PortBases()
    stop_timeout_s: int = Field(90, ge=0, le=3600, description="seconds a machine has to shut down")


def over(before: Mapping[str, object], form: Mapping[str, object]) -> dict[str, object]:
    """What a form says, where it says something, else what was wanted the last time. Not checked yet.

    Of `image` and `port_bases` single fields count; `nodes` counts as a whole.
    """
    found = dict(before)
    for name, value in form.items():
        if value is None or value in ("", [], {}):
            continue
        if name in ("image", "port_bases") and isinstance(value, Mapping):
            old = found.get(name)
            parts = dict(old) if isinstance(old, Mapping) else {}
            parts.update((key, part) for key, part in value.items() if part not in (None, ""))
            if parts:
                found[name] = parts
            continue
        found[name] = value
    return found


def parse(value: object, source: str) -> Wanted:
    """From what JSON, YAML or a form gave; `source` names it in errors.

    Raises:
        ConfigError: names the source, the field, what is wrong.
    """
    try:
        return Wanted.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "the whole"
        raise ConfigError(
            first["msg"].removeprefix("Value error, "),
            file=source,
            field=field,
            remedy="See infra/terraform-virtualbox/README.md",
        ) from None


def variables(wanted: Wanted, deployment: str, state_dir: Path, ssh_public_key: str) -> str:
    """The text of `terraform.tfvars.json`. Holds no secret."""
    found = wanted.model_dump(mode="json") | {
        "deployment": deployment,
        "state_dir": str(state_dir),
        "ssh_public_key": ssh_public_key.strip(),
        "python": sys.executable,
    }
    return json.dumps(found, indent=1, sort_keys=True) + "\n"
