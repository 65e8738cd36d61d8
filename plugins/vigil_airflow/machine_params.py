"""The form of a deployment to machines. What is left empty is as the last time."""

from __future__ import annotations

from airflow.sdk import Param

from infra.machines.programs import Software

FORMATS = ("auto", "vmdk", "vdi", "raw", "ova", "tar.xz")
FAMILIES = ("debian", "ubuntu")

_MACHINES, _VIRTUALBOX, _INVENTORY = "Machines", "VirtualBox", "Inventory"


def machine_params() -> dict[str, Param]:
    """Parameters of a DAG that deploys to machines, in sections of their own; a local deployment heeds none of them."""
    return _of_machines() | _of_virtualbox() | _of_inventory()


def _of_machines() -> dict[str, Param]:
    return {
        "software": Param(
            str(Software.UPLOAD),
            type="string",
            enum=[str(way) for way in Software],
            title="Software",
            description="upload: all of it from here over SSH; the machines need no internet; no Kibana. packages: "
            "Elasticsearch, Kibana and Fluentd from their own repositories.",
            section=_MACHINES,
        ),
        "approval": Param(
            True,
            type="boolean",
            title="Ask for approval",
            description="A person sees the plan and approves it before anything is changed in VirtualBox.",
            section=_MACHINES,
        ),
    }


def _of_virtualbox() -> dict[str, Param]:
    as_before = "Empty: as the last time"
    return {
        "image": Param(
            None,
            type=["string", "null"],
            title="Cloud image",
            description=f"Path on this host, or https address. {as_before}; the first time it is needed.",
            section=_VIRTUALBOX,
        ),
        "image_checksum": Param(
            None,
            type=["string", "null"],
            pattern="^(sha256:[0-9a-fA-F]{64}|sha512:[0-9a-fA-F]{128})?$",
            title="Its checksum",
            description=f"sha256:HEX or sha512:HEX, from where the image is published. {as_before}.",
            section=_VIRTUALBOX,
        ),
        "image_format": Param(
            "",
            type="string",
            enum=["", *FORMATS],
            values_display={"": "as the last time"},
            title="Its format",
            description="At first auto: told from the file itself.",
            section=_VIRTUALBOX,
        ),
        "guest_family": Param(
            "",
            type="string",
            enum=["", *FAMILIES],
            values_display={"": "as the last time"},
            title="Distribution in the image",
            description="At first debian.",
            section=_VIRTUALBOX,
        ),
        "network": Param(
            None,
            type=["string", "null"],
            title="NAT network",
            description=f"As 10.77.0.0/24. {as_before}, at first that one.",
            section=_VIRTUALBOX,
        ),
        "dns": Param(
            None,
            type=["array", "null"],
            items={"type": "string"},
            title="Name servers",
            description=f"For the machines; one a line. {as_before}, at first VirtualBox's own.",
            section=_VIRTUALBOX,
        ),
        "nodes": Param(
            None,
            type=["object", "null"],
            title="Machines",
            description="By name: number (last part of the address), roles, cpus, memory_mb, disk_gb. "
            f"{as_before}, at first the two: producer and consumer.",
            section=_VIRTUALBOX,
        ),
        "port_bases": Param(
            None,
            type=["object", "null"],
            title="Host ports",
            description="ssh, kafka, elasticsearch, kibana: a machine's port on 127.0.0.1 is that plus its number. "
            f"{as_before}, at first 2200, 19000, 19200, 19600.",
            section=_VIRTUALBOX,
        ),
        "stop_timeout_s": Param(
            None,
            type=["integer", "null"],
            minimum=0,
            maximum=3600,
            title="Seconds to shut down",
            description=f"What a machine has before it is switched off. {as_before}, at first 90.",
            section=_VIRTUALBOX,
        ),
    }


def _of_inventory() -> dict[str, Param]:
    return {
        "inventory": Param(
            "",
            type=["string", "null"],
            title="Inventory file",
            description="Path on this host, JSON or YAML (docs/machines.md). Empty: the one read the last time.",
            section=_INVENTORY,
        ),
    }
