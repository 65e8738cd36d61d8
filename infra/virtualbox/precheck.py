"""What this host must offer before anything is made in VirtualBox: looked at first (`look`), then judged (`judge`)."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.local.preflight import Check, Verdict
from infra.virtualbox import engine
from infra.virtualbox.wanted import Image, Wanted
from streaming.errors import ConfigError

MIB, GIB = 1024**2, 1024**3

HOST_KEEPS = 1 * GIB
"""Memory that the host itself needs beside its machines."""

DISK_OF_A_MACHINE = 4 * GIB
"""Disks grow as they are written: a base system of 1.5, software of 0.7, a day of play 1.5."""

ANSWERS_WITHIN_S = 60.0
"""VBoxManage starts VirtualBox's service at its first call."""

VARIABLE = "VIGIL_VBOXMANAGE"


@dataclass(frozen=True)
class Facts:
    """What was found. An `..._error` says why the other one is empty; memory and disk are bytes.

    `image_sum` is that of a local file, by the algorithm of what is wanted; empty: not looked at.
    """

    vboxmanage: str
    vboxmanage_error: str
    terraform: str
    terraform_error: str
    image_sum: str
    image_error: str
    memory_total: int
    memory_free: int
    disk_free: int


def look(wanted: Wanted, folder: Path, existing: Collection[str]) -> Facts:
    """Asks the host. The image is read only where a machine is to be made of it."""
    version, version_error = _version()
    try:
        program, program_error = engine.program(), ""
    except ConfigError as error:
        program, program_error = "", str(error)
    to_make = set(wanted.nodes) - set(existing)
    image_sum, image_error = _image_sum(wanted.image) if to_make else ("", "")
    memory = psutil.virtual_memory()
    return Facts(
        version,
        version_error,
        program,
        program_error,
        image_sum,
        image_error,
        memory.total,
        memory.available,
        shutil.disk_usage(_there(folder)).free,
    )


def judge(wanted: Wanted, facts: Facts, existing: Collection[str]) -> list[Check]:
    """The checks, of which each that failed says what is wrong and how to mend it. Pure.

    Host ports, and names that are somebody else's, are looked at by the plan (`Deployment.propose`).

    Args:
        existing: names of machines that are there already; they have their memory and their disks.
    """
    to_make = [node for name, node in wanted.nodes.items() if name not in existing]
    return [
        _program("VBoxManage", facts.vboxmanage, facts.vboxmanage_error),
        _program("Terraform", facts.terraform, facts.terraform_error),
        _image(wanted.image, facts, bool(to_make)),
        _memory(sum(node.memory_mb for node in to_make) * MIB, facts),
        _disk(len(to_make), sum(node.disk_gb for node in to_make) * GIB, facts),
    ]


def _program(name: str, found: str, error: str) -> Check:
    return Check(name, Verdict.OK, found) if found else Check(name, Verdict.FAILED, error)


def _image(image: Image, facts: Facts, is_needed: bool) -> Check:
    if not is_needed:
        return Check("image", Verdict.OK, "not needed: all machines are there")
    if facts.image_error:
        return Check("image", Verdict.FAILED, facts.image_error)
    algorithm, _, wanted = image.checksum.partition(":")
    if not facts.image_sum:
        return Check("image", Verdict.NOTE, f"{image.source} is fetched, and its {algorithm} checked, when it is used")
    if facts.image_sum != wanted.lower():
        return Check(
            "image",
            Verdict.FAILED,
            f"the {algorithm} of {image.source} is {facts.image_sum}, not {wanted}: take the sum from where the image "
            "is published",
        )
    return Check("image", Verdict.OK, f"{image.source}, {algorithm} as wanted")


def _memory(needed: int, facts: Facts) -> Check:
    free, total = facts.memory_free / GIB, facts.memory_total / GIB
    told = f"{needed / GIB:.1f} GiB for new machines, {free:.1f} of {total:.1f} free"
    if needed > facts.memory_total - HOST_KEEPS:
        return Check("memory", Verdict.FAILED, f"{told}: give the machines less (memory_mb)")
    return Check("memory", Verdict.NOTE if needed and needed > facts.memory_free - HOST_KEEPS else Verdict.OK, told)


def _disk(machines: int, at_most: int, facts: Facts) -> Check:
    needed = machines * DISK_OF_A_MACHINE
    told = f"{needed / GIB:.0f} GiB to begin with, {at_most / GIB:.0f} when full; {facts.disk_free / GIB:.1f} free"
    if needed > facts.disk_free:
        return Check("disk", Verdict.FAILED, f"{told}: make room, or move VIGIL_HOME")
    return Check("disk", Verdict.NOTE if at_most > facts.disk_free else Verdict.OK, told)


def _version() -> tuple[str, str]:
    named = os.environ.get(VARIABLE)
    program = named or shutil.which("VBoxManage")
    if program is None:
        return "", f"VBoxManage is not on the path: install VirtualBox 7, or name it with {VARIABLE}"
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=ANSWERS_WITHIN_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"{program} does not run: {error}"
    if done.returncode != 0:
        return "", f"{program} --version: {done.stderr.strip() or done.stdout.strip() or 'no reason given'}"
    return f"{program} {done.stdout.strip().splitlines()[-1]}", ""


def _image_sum(image: Image) -> tuple[str, str]:
    if "://" in image.source:
        return "", ""
    try:
        with Path(image.source).open("rb") as file:
            return hashlib.file_digest(file, image.checksum.partition(":")[0]).hexdigest(), ""
    except OSError as error:
        return "", f"{image.source} cannot be read ({error.strerror}): download an image and give its path"


def _there(folder: Path) -> Path:
    return next(place for place in (folder, *folder.parents) if place.exists())
