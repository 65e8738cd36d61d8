"""The root file system that machines for tests start from: Debian 12 as its cloud image has it, as far as a deployment
can tell, made once and kept in a cache.

`python tests/support/virtualbox/base_image.py` makes it and prints its path. The standard library alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RELEASE = "bookworm"
PACKAGES = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "udev",
    "libpam-systemd",
    "openssh-server",
    "python3",
    "iproute2",
    "nftables",
    "sudo",
    "netbase",
    "ca-certificates",
    "tzdata",
    "apt",
    "procps",
    "netplan.io",
    "cloud-init",
]
"""What of Debian's cloud image a deployment can meet. Its kernel, boot loader and the like have no use here."""

LEFT_OUT = (
    *("/usr/share/doc", "/usr/share/man", "/usr/share/locale", "/usr/share/info", "/usr/share/lintian"),
    "/lib/udev/hwdb.d",
)
"""Folders of which nothing is read there (a third of the size)."""

INIT = "/usr/local/sbin/init"
"""What a machine runs first."""

_IDLE_DAYS = 30
"""Images of other recipes (other checkouts) that nobody used for that long are deleted."""

# Runs outside the new root, whose path is $1, when all packages are in. $2 is INIT.
_FINISH = r"""
set -eu
cd "$1"
# What a machine makes for itself at its first boot. With an empty machine-id systemd makes one; D-Bus's copy, which it
# would take instead, would be the same in all.
rm -f etc/ssh/ssh_host_* var/lib/dbus/machine-id etc/apt/apt.conf.d/99mmdebstrap
: >etc/machine-id
: >etc/resolv.conf
echo localhost >etc/hostname
echo LANG=C.UTF-8 >etc/default/locale
systemctl --root=. enable -q systemd-networkd ssh
rm -f usr/lib/udev/hwdb.bin  # generated from what was left out
# Debian leaves netplan uncompiled, which a machine would make up for at each first boot; and there is no boot loader.
chroot . python3 -m compileall -q /usr/share/netplan
sed -i '/grub-dpkg/d' etc/cloud/cloud.cfg
# netplan matches a card by its permanent address, which a virtual one has not.
mkdir -p etc/systemd/system/systemd-networkd.service.d
cat >etc/systemd/system/systemd-networkd.service.d/no-permanent-address.conf <<END
[Service]
ExecStartPre=+sh -c 'sed -i s/^PermanentMACAddress=/MACAddress=/ /run/systemd/network/*.network || :'
END
# They would look for the internet at a time of their own choice.
systemctl --root=. mask -q apt-daily.timer apt-daily-upgrade.timer
# The serial port of a virtual machine, which is its console.
echo 'L+ /dev/ttyS0 - - - - /dev/console' >etc/tmpfiles.d/serial-port.conf
# cgroups of the first version come read-only into a container, and no limit of a unit would hold there. systemd looks
# at that when it starts.
cat >".$2" <<END
#!/bin/sh
for tree in memory pids cpu cpuacct; do
    mount -o remount,bind,rw /sys/fs/cgroup/\$tree 2>/dev/null
done
exec /lib/systemd/systemd
END
chmod +x ".$2"
"""


class ImageUnavailable(Exception):
    """There is no image, and it cannot be made here; the text says why."""


def ensure() -> Path:
    """The image's root, made if there is none: some 80 s of a processor, and 260 MB.

    It is whole or not there: a build that dies takes what it started along, and its folder goes with the next. Of
    several processes one builds and the others wait.

    Raises:
        ImageUnavailable: not root, a program is missing, or the build failed.
    """
    if os.geteuid() != 0:
        raise ImageUnavailable("only root can make machines")
    place = _folder()
    if not place.is_dir():
        for program in ("mmdebstrap", "unshare", "setpriv"):
            if not shutil.which(program):
                raise ImageUnavailable(f"{program} is not installed; run scripts/install-machines.sh")
        place.parent.mkdir(parents=True, exist_ok=True)
        with _locked(place.parent / "lock", fcntl.LOCK_EX):
            if not place.is_dir():
                for left in place.parent.glob("*.part"):
                    _delete(left)
                _build(place)
            _delete_idle(place)
    os.utime(place)
    return place


@contextmanager
def in_use(place: Path) -> Iterator[None]:
    """While it is, no other process deletes it."""
    with _locked(_lock_of(place), fcntl.LOCK_SH):
        yield


def cache() -> Path:
    """The folder of all images: VIGIL_TEST_CACHE, by default `vigil-tests` in the user's cache."""
    named = os.environ.get("VIGIL_TEST_CACHE")
    if named:
        return Path(named).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vigil-tests"


def _folder() -> Path:
    recipe = "\n".join([RELEASE, *PACKAGES, *LEFT_OUT, INIT, _FINISH])
    return cache() / "base-images" / hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _build(place: Path) -> None:
    part = place.with_suffix(".part")
    with tempfile.TemporaryDirectory(prefix="vigil-base-image-") as scratch:
        settings, finish = Path(scratch, "apt.conf"), Path(scratch, "finish")
        settings.write_text(_apt_settings(), encoding="utf-8")
        finish.write_text(_FINISH, encoding="utf-8")
        made = subprocess.run(
            # In namespaces that end with this process: no mount and no process is left of a build that was killed.
            [
                *("setpriv", "--pdeathsig", "KILL"),
                *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("mmdebstrap", "--quiet", "--mode=root", "--variant=essential", f"--include={','.join(PACKAGES)}"),
                *(f"--dpkgopt=path-exclude={folder}/*" for folder in LEFT_OUT),
                *("--dpkgopt=force-unsafe-io", f"--aptopt={settings}", f'--customize-hook=sh {finish} "$1" {INIT}'),
                *(RELEASE, str(part), *_sources()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    if made.returncode:
        raise ImageUnavailable("the base image could not be made:\n" + "\n".join(made.stdout.splitlines()[-15:]))
    part.rename(place)


def _apt_settings() -> str:
    """How this machine's apt gets at archives: proxies, certificates, tries."""
    dump = subprocess.run(["apt-config", "dump", "Acquire"], stdout=subprocess.PIPE, text=True, check=True).stdout
    kept = re.findall(r"^Acquire::(?:http|https|ftp|Retries|ForceIPv|Check-|Max-).*$", dump, re.MULTILINE)
    return "\n".join([*kept, 'Acquire::Languages "none";', ""])


def _sources() -> list[str]:
    """This machine's own sources of the release; none where it runs another one, and mmdebstrap then knows some."""
    form = "$(ORIGIN) $(CODENAME) deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    ).stdout
    return list(dict.fromkeys(re.findall(rf"^Debian {RELEASE}\S* (deb \S+ \S+ \S+)$", targets, re.MULTILINE)))


def _delete_idle(current: Path) -> None:
    oldest = time.time() - _IDLE_DAYS * 86400
    for place in current.parent.iterdir():
        if place.is_dir() and place != current and place.stat().st_mtime < oldest:
            try:
                with _locked(_lock_of(place), fcntl.LOCK_EX | fcntl.LOCK_NB):
                    _delete(place)
            except BlockingIOError:
                continue  # a machine runs from it
            _lock_of(place).unlink(missing_ok=True)


def _lock_of(place: Path) -> Path:
    return place.with_name(f"{place.name}.lock")


def _delete(place: Path) -> None:
    subprocess.run(["rm", "-rf", "--one-file-system", str(place)], check=True)


@contextmanager
def _locked(file: Path, how: int) -> Iterator[None]:
    with file.open("a") as lock:
        fcntl.flock(lock, how)
        yield


if __name__ == "__main__":
    try:
        print(ensure())
    except ImageUnavailable as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        sys.exit(130)
