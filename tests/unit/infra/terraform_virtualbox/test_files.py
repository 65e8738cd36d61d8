"""What the wrapper writes into a machine's folder, and what it takes out of archives."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pycdlib
import pytest
from vbox import console, kinds, seed, unpack
from vbox.errors import VboxError


def test_a_seed_is_read_back(tmp_path: Path) -> None:
    files = {"meta-data": "instance-id: a\n", "user-data": "#cloud-config\n" + "x: é\n" * 2000, "network-config": "v\n"}
    target = tmp_path / "seed.iso"
    os.umask(os.umask(0o022))
    seed.write(target, files)
    assert target.stat().st_mode & 0o777 == 0o600
    iso = pycdlib.PyCdlib()
    iso.open(str(target))
    try:
        assert iso.pvd.volume_identifier.decode().strip() == "cidata"
        for name, text in files.items():
            for how in ({"rr_path": f"/{name}"}, {"joliet_path": f"/{name}"}):
                found = io.BytesIO()
                iso.get_file_from_iso_fp(found, **how)
                assert found.getvalue().decode() == text
    finally:
        iso.close()
    seed.write(target, files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seed.iso"]


def test_a_seed_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(VboxError, match="cannot be written"):
        seed.write(tmp_path / "none" / "seed.iso", {"meta-data": "a"})


def test_consoles_are_kept(tmp_path: Path) -> None:
    for boot in range(8):
        current = console.rotate(tmp_path)
        assert not current.exists()
        current.write_text(f"boot {boot}")
    assert (tmp_path / "serial.log").read_text() == "boot 7"
    assert [(tmp_path / f"serial.log.{n}").read_text() for n in range(1, 6)] == [f"boot {n}" for n in (6, 5, 4, 3, 2)]
    assert not (tmp_path / "serial.log.6").exists()


def test_an_empty_console_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "serial.log").touch()
    console.rotate(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["serial.log"]


HEADS = {
    "vmdk": b"KDMV\1\0\0\0",
    "vdi": b"<<< Oracle VM VirtualBox Disk Image >>>\n".ljust(64, b"\0") + b"\x7f\x10\xda\xbe",
    "raw": b"\xeb\x63\x90" + bytes(507) + b"\x55\xaa",
    "tar.xz": b"\xfd7zXZ\0",
}


@pytest.mark.parametrize("kind", HEADS)
def test_kinds_are_known_by_their_first_bytes(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "image.img"
    file.write_bytes(HEADS[kind])
    assert kinds.kind_of(file, "auto") == kind
    assert kinds.kind_of(file, kind) == kind
    other = "ova" if kind != "ova" else "raw"
    with pytest.raises(VboxError, match=f"is {kind}, not {other}"):
        kinds.kind_of(file, other)


@pytest.mark.parametrize("declared", ["auto", "raw"])
def test_qcow2_is_refused_with_the_remedy(declared: str, tmp_path: Path) -> None:
    file = tmp_path / "noble-server-cloudimg-amd64.img"
    file.write_bytes(b"QFI\xfb\0\0\0\3")
    with pytest.raises(VboxError, match="qcow2, which VirtualBox cannot read whole") as raised:
        kinds.kind_of(file, declared)
    assert "qemu-img convert" in raised.value.remedy
    assert ".vmdk" in raised.value.remedy


def _archive(file: Path, members: dict[str, bytes], mode: str, link: str | None = None) -> Path:
    with tarfile.open(file, "w:xz" if mode == "xz" else "w:") as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
        if link is not None:
            about = tarfile.TarInfo(link)
            about.type, about.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(about)
    return file


def test_the_disk_of_an_archive_is_unpacked(tmp_path: Path) -> None:
    disk = os.urandom(3000) + bytes(3 * 1024 * 1024) + b"end"
    raw = _archive(tmp_path / "debian.tar.xz", {"disk.raw": disk}, "xz")
    target = tmp_path / "disk"
    assert kinds.kind_of(raw, "auto") == "tar.xz"
    assert unpack.unpacked(raw, "tar.xz", target, lambda: None) == "raw"
    assert target.read_bytes() == disk
    ova = _archive(tmp_path / "ubuntu.ova", {"a.ovf": b"<x/>", "../../evil.vmdk": b"KDMVdisk", "a.mf": b""}, "ustar")
    assert kinds.kind_of(ova, "auto") == "ova"
    assert unpack.unpacked(ova, "ova", target, lambda: None) == "vmdk"
    assert target.read_bytes() == b"KDMVdisk"
    assert not (tmp_path.parent.parent / "evil.vmdk").exists()


def test_archives_that_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "disk"
    two = _archive(tmp_path / "two.ova", {"a.vmdk": b"a", "b.vmdk": b"b"}, "ustar")
    with pytest.raises(VboxError, match="has 2 disks"):
        unpack.unpacked(two, "ova", target, lambda: None)
    none = _archive(tmp_path / "none.ova", {"a.ovf": b"a"}, "ustar")
    with pytest.raises(VboxError, match="has 0 disks"):
        unpack.unpacked(none, "ova", target, lambda: None)
    link = _archive(tmp_path / "link.ova", {}, "ustar", link="a.vmdk")
    with pytest.raises(VboxError, match="not one"):
        unpack.unpacked(link, "ova", target, lambda: None)
    whole = _archive(tmp_path / "whole.tar.xz", {"disk.raw": os.urandom(100_000)}, "xz")
    cut = tmp_path / "cut.tar.xz"
    cut.write_bytes(whole.read_bytes()[:50_000])
    with pytest.raises(VboxError, match=r"damaged|cannot be unpacked"):
        unpack.unpacked(cut, "tar.xz", target, lambda: None)
