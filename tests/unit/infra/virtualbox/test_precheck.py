"""What this host must offer before machines are made: judged from facts, and the facts themselves."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from infra.local.preflight import Verdict
from infra.virtualbox.precheck import GIB, Facts, judge, look
from infra.virtualbox.wanted import Wanted, parse

SUM = "ab" * 32
GOOD = Facts("VBoxManage 7.1.4", "", "/usr/bin/terraform", "", SUM, "", 32 * GIB, 20 * GIB, 100 * GIB)


def wanted(**image: str) -> Wanted:
    return parse({"image": {"source": "/images/debian.vmdk", "checksum": f"sha256:{SUM}"} | image}, "test")


def verdicts(facts: Facts, *existing: str, what: Wanted | None = None) -> dict[str, str]:
    return {check.name: str(check.verdict) for check in judge(what or wanted(), facts, existing)}


def test_all_is_well() -> None:
    assert set(verdicts(GOOD).values()) == {"ok"}


@pytest.mark.parametrize(
    ("facts", "name", "said"),
    [
        (
            replace(GOOD, vboxmanage="", vboxmanage_error="VBoxManage is not on the path"),
            "VBoxManage",
            "not on the path",
        ),
        (replace(GOOD, terraform="", terraform_error="neither terraform nor tofu"), "Terraform", "neither"),
        (replace(GOOD, image_sum="cd" * 32), "image", f"is {'cd' * 32}, not {SUM}"),
        (replace(GOOD, image_sum="", image_error="cannot be read"), "image", "cannot be read"),
        (replace(GOOD, memory_total=8 * GIB), "memory", "give the machines less"),
        (replace(GOOD, disk_free=7 * GIB), "disk", "make room"),
    ],
)
def test_what_is_missing_is_named(facts: Facts, name: str, said: str) -> None:
    failed = [check for check in judge(wanted(), facts, ()) if check.verdict is Verdict.FAILED]
    assert [check.name for check in failed] == [name]
    assert said in failed[0].text


def test_what_may_become_tight_is_a_note() -> None:
    tight = replace(GOOD, memory_free=6 * GIB, disk_free=20 * GIB)
    assert verdicts(tight) == {"VBoxManage": "ok", "Terraform": "ok", "image": "ok", "memory": "note", "disk": "note"}


def test_machines_that_are_there_need_nothing_more() -> None:
    poor = replace(GOOD, memory_total=2 * GIB, memory_free=0, disk_free=0, image_sum="", image_error="is gone")
    assert set(verdicts(poor, "producer", "consumer").values()) == {"ok"}


def test_an_image_that_is_fetched_is_checked_then() -> None:
    found = verdicts(replace(GOOD, image_sum=""), what=wanted(source="https://images.example/debian.vmdk"))
    assert found["image"] == "note"


def test_the_host_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, program = tmp_path / "small.vmdk", tmp_path / "VBoxManage"
    image.write_bytes(b"image")
    program.write_text("#!/bin/sh\necho 7.1.4r165100\n")
    program.chmod(0o755)
    monkeypatch.setenv("VIGIL_VBOXMANAGE", str(program))
    monkeypatch.setenv("VIGIL_TERRAFORM", "/nowhere/terraform")
    asked = wanted(source=str(image))
    facts = look(asked, tmp_path / "not" / "there", ())
    assert facts.vboxmanage == f"{program} 7.1.4r165100"
    assert "'/nowhere/terraform' is no program" in facts.terraform_error
    assert facts.image_sum == hashlib.sha256(b"image").hexdigest()
    assert facts.disk_free > 0
    assert look(asked, tmp_path, asked.nodes).image_sum == "", "not read in vain"

    program.write_text("#!/bin/sh\necho 'no kernel module' >&2\nexit 1\n")
    assert "no kernel module" in look(asked, tmp_path, ()).vboxmanage_error
    monkeypatch.setenv("VIGIL_VBOXMANAGE", str(tmp_path / "none"))
    assert "does not run" in look(asked, tmp_path, ()).vboxmanage_error
    assert "give its path" in look(wanted(source=str(tmp_path / "none")), tmp_path, ()).image_error
