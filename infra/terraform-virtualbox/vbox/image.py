"""The image that machines begin from: fetched or read, checked, and turned once into a disk that is cloned for each."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from vbox import facts, kinds
from vbox.errors import VboxError
from vbox.manage import LONG_S, Manage, Say
from vbox.spec import ImageSpec
from vbox.sums import digest_of, wrong_sum


def folder(state_dir: Path) -> Path:
    """The cache: what was fetched, and the disk that was made of it."""
    return state_dir / "images"


def base(state_dir: Path, image: ImageSpec) -> Path:
    """The disk that machines are cloned from. Its name holds the image's sum."""
    return folder(state_dir) / f"{image.digest[:32]}.vdi"


def up(manage: Manage, state_dir: Path, image: ImageSpec, say: Say) -> Path:
    """Checks the image's sum and makes the disk that machines are cloned from; one that is there stays.

    Raises:
        VboxError: it cannot be had, its sum is wrong, or VirtualBox cannot read it; no half-made disk is left.
    """
    source = _checked(manage, state_dir, image, say)
    disk = base(state_dir, image)
    if _whole(disk, image):
        return disk
    kind = kinds.kind_of(source, image.format)
    folder(state_dir).mkdir(parents=True, exist_ok=True, mode=0o700)
    making = disk.with_suffix(".making.vdi")
    inside = disk.with_suffix(".unpacked")
    left = [file for file in (making, disk) if file.exists()]
    if left:
        with manage.cleaning():
            _forget(manage, left)
    try:
        if kind in ("ova", "tar.xz"):
            say(f"unpacking {source.name}")
            inside = inside.with_suffix(f".unpacked.{'vmdk' if kind == 'ova' else 'raw'}")
            from vbox import unpack

            kind = unpack.unpacked(source, kind, inside, manage.check)
            source = inside
        _convert(manage, source, kind, making, say)
        making.replace(disk)
        _stamp(disk).write_text(json.dumps(_identity(disk, image)), encoding="utf-8")
    except (VboxError, OSError) as error:
        with manage.cleaning(), contextlib.suppress(VboxError):  # the first failure is the one to tell
            _close(manage, [source, making])
        if isinstance(error, OSError):
            raise VboxError(f"the image cannot be converted: {error}") from error
        raise
    finally:
        making.unlink(missing_ok=True)
        inside.unlink(missing_ok=True)
    return disk


def ensure(manage: Manage, state_dir: Path, image: ImageSpec, say: Say) -> Path:
    """As `up`, without reading the image again where the disk that was made of it is as it was left."""
    disk = base(state_dir, image)
    return disk if _whole(disk, image) else up(manage, state_dir, image, say)


def down(manage: Manage, state_dir: Path, image: ImageSpec, say: Say) -> None:
    """Removes the disk; what was fetched stays in the cache, so that it need not be fetched again."""
    disk = base(state_dir, image)
    if disk.exists():
        say(f"removing {disk}")
    _forget(manage, [disk, disk.with_suffix(".making.vdi")])
    _stamp(disk).unlink(missing_ok=True)
    cache = folder(state_dir)
    if cache.is_dir() and not any(cache.iterdir()):
        cache.rmdir()


def clear(manage: Manage, state_dir: Path) -> None:
    """Removes all disks that machines were cloned from; what was fetched stays."""
    disks = sorted(folder(state_dir).glob("*.vdi"))
    if disks:
        _forget(manage, disks)
    for file in (*folder(state_dir).glob("*.json"), *folder(state_dir).glob("*.unpacked.*")):
        file.unlink()


def _checked(manage: Manage, state_dir: Path, image: ImageSpec, say: Say) -> Path:
    if "://" in image.source:
        name = PurePosixPath(urlsplit(image.source).path).name or "image"
        # Imported where needed: the HTTP library takes half of the time of a command that fetches nothing.
        from vbox.fetch import fetched

        target = folder(state_dir) / f"{image.digest[:16]}-{name}"
        return fetched(image.source, target, image.algorithm, image.digest, say, manage.check)
    source = Path(image.source)
    if not source.is_file():
        raise VboxError(f"the image {source} is not there", remedy="Set image.source to its path or its https URL")
    say(f"checking the {image.algorithm} sum of {source.name}")
    found = digest_of(source, image.algorithm, manage.check)
    if found != image.digest:
        raise wrong_sum(str(source), image.algorithm, found, image.digest)
    return source


def _convert(manage: Manage, source: Path, kind: str, target: Path, say: Say) -> None:
    say(f"converting {source.name} ({kind})")
    doing = f"converting the image {source.name}"
    if kind == "raw":
        manage("convertfromraw", str(source), str(target), "--format", "VDI", doing=doing, timeout_s=LONG_S)
    else:
        manage("clonemedium", "disk", str(source), str(target), "--format", "VDI", doing=doing, timeout_s=LONG_S)
        # Cloning registered both, by paths that are about to change or to go.
        release(manage, source)
        release(manage, target)


def _close(manage: Manage, files: list[Path]) -> None:
    """Takes files out of VirtualBox's media registry; they stay."""
    registered = {Path(medium.location): medium.uuid for medium in facts.media(manage, "hdds")}
    for file in files:
        if uuid := registered.get(file):
            manage("closemedium", "disk", uuid, doing=f"closing {file.name}")


def release(manage: Manage, disk: Path) -> None:
    """Takes a disk out of VirtualBox's media registry, where cloning put it; the file stays."""
    manage("closemedium", "disk", str(disk), doing=f"closing {disk.name}")


def forget(manage: Manage, disk: Path) -> None:
    """As `release`, where it is not known whether cloning came so far."""
    _close(manage, [disk])


def _forget(manage: Manage, files: list[Path]) -> None:
    _close(manage, files)
    for file in files:
        file.unlink(missing_ok=True)


def _stamp(disk: Path) -> Path:
    return disk.with_suffix(".json")


def _identity(disk: Path, image: ImageSpec) -> dict[str, object]:
    stat = disk.stat()
    return {"digest": image.digest, "size": stat.st_size, "changed": stat.st_mtime_ns}


def _whole(disk: Path, image: ImageSpec) -> bool:
    """Whether the disk is there as `up` left it: cloning reads it and never writes."""
    try:
        return bool(json.loads(_stamp(disk).read_text(encoding="utf-8")) == _identity(disk, image))
    except (OSError, ValueError):
        return False
