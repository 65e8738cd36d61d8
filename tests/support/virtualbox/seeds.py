"""A seed for a machine that is to show no more than that it boots."""

from __future__ import annotations

import io
from pathlib import Path

import pycdlib

_USER_DATA = """#cloud-config
manage_etc_hosts: true
ssh_genkeytypes: [ed25519]
users:
- name: vigil-operator
  shell: /bin/bash
  lock_passwd: true
  sudo: "ALL=(root) NOPASSWD: ALL"
  ssh_authorized_keys: ["{key}"]
"""

_NETWORK = """version: 2
ethernets:
  nat:
    match: {{macaddress: "{mac}"}}
    dhcp4: false
    accept-ra: false
    addresses: ["{address}/24"]
    routes: [{{to: default, via: "{gateway}"}}]
"""


def write_seed(image: Path, name: str, address: str, mac: str, key: str, user_data: str | None = None) -> None:
    """Of a machine with a static address whose user `vigil-operator` may do all as root.

    Args:
        key: the public key that its user is reached with.
        user_data: in place of all but the address.
    """
    files = {
        "meta-data": f"instance-id: {name}\nlocal-hostname: {name}\n",
        "user-data": user_data or _USER_DATA.format(key=key),
        "network-config": _NETWORK.format(mac=mac, address=address, gateway=address.rpartition(".")[0] + ".1"),
    }
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for file, text in files.items():
        short = file.upper().replace("-", "_")
        content = text.encode()
        iso.add_fp(io.BytesIO(content), len(content), f"/{short}.;1", rr_name=file, joliet_path=f"/{file}")
    iso.write(str(image))
    iso.close()
