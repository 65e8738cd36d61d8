"""What VBoxManage says, read: the texts are those of VirtualBox 7."""

from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
from vbox import facts
from vbox.facts import Forward, Medium, Network

NETWORKS = """NAT Networks:

Name:         vigil
Enabled:      Yes
Network:      10.77.0.0/24
Gateway:      10.77.0.1
DHCP Server:  No
IPv6:         No
IPv6 Prefix:  fd22:5f4a:a674:9442::/64
IPv6 Default: No
Port-forwarding (ipv4)
        vigil-producer-ssh:tcp:[127.0.0.1]:2211:[10.77.0.11]:22
        odd:udp:[]:53:[10.77.0.12]:53
loopback mappings (ipv4)
        127.0.0.1=2

Name:         NatNetwork
Enabled:      Yes
Network:      10.0.2.0/24
Gateway:      10.0.2.1
DHCP Server:  Yes
IPv6:         No
IPv6 Prefix:  fd17:625c:f037:2::/64
IPv6 Default: No
loopback mappings (ipv4)
        127.0.0.1=2

2 networks found
"""

INFO = """name="vigil-producer"
groups="/"
ostype="Debian (64-bit)"
UUID="3b47c9b4-8889-5700-9869-ce5a1272a936"
CfgFile="/home/me/VMs/a=b/vigil-producer.vbox"
memory=4096
VMState="running"
"SATA-0-0"="/home/me/disk.vdi"
nat-network1="vigil"
nic1="natnetwork"
nic2="none"
uartmode1="file,/home/me/serial.log"
"""

DISKS = """UUID:           0f5a8b9e-7a4b-4e0f-9d2a-1b2c3d4e5f60
Parent UUID:    base
State:          locked write
Type:           normal (base)
Location:       /home/me/a folder/disk: one.vdi
Storage format: VDI
Capacity:       20480 MBytes
Encryption:     disabled

UUID:           1f5a8b9e-7a4b-4e0f-9d2a-1b2c3d4e5f60
Parent UUID:    base
State:          created
Type:           normal (base)
Location:       /elsewhere/disk.vdi
Storage format: VMDK
Capacity:       2048 MBytes
Encryption:     disabled
"""


def test_machines() -> None:
    text = '"vigil-producer" {3b47c9b4-8889-5700-9869-ce5a1272a936}\n"a "b" c" {0f5a8b9e-7a4b-4e0f-9d2a-1b2c3d4e5f60}\n'
    assert facts.parse_machines(text) == {
        "vigil-producer": "3b47c9b4-8889-5700-9869-ce5a1272a936",
        'a "b" c': "0f5a8b9e-7a4b-4e0f-9d2a-1b2c3d4e5f60",
    }
    assert facts.parse_machines("") == {}


def test_networks() -> None:
    ssh = Forward("vigil-producer-ssh", 2211, "10.77.0.11", 22)
    odd = Forward("odd", 53, "10.77.0.12", 53, "", "udp")
    assert facts.parse_networks(NETWORKS) == {
        "vigil": Network("vigil", "10.77.0.0/24", "fd22:5f4a:a674:9442::/64", (ssh, odd)),
        "NatNetwork": Network("NatNetwork", "10.0.2.0/24", "fd17:625c:f037:2::/64", ()),
    }
    assert facts.parse_networks("NAT Networks:\n\n0 networks found\n") == {}


def test_a_machine() -> None:
    info = facts.parse_info(INFO)
    assert info["CfgFile"] == "/home/me/VMs/a=b/vigil-producer.vbox"
    assert info["VMState"] == "running"
    assert info["SATA-0-0"] == "/home/me/disk.vdi"
    assert info["memory"] == "4096"


def test_extra_data() -> None:
    text = "Key: GUI/LastVM, Value: x, y\nKey: vigil/owner, Value: vigil@/home/me\n"
    assert facts.parse_extra(text) == {"GUI/LastVM": "x, y", "vigil/owner": "vigil@/home/me"}


def test_media() -> None:
    from pathlib import Path

    media = facts.parse_media(DISKS)
    assert [medium.location for medium in media] == ["/home/me/a folder/disk: one.vdi", "/elsewhere/disk.vdi"]
    assert facts.below(media, Path("/home/me/a folder")) == [
        Medium("0f5a8b9e-7a4b-4e0f-9d2a-1b2c3d4e5f60", "/home/me/a folder/disk: one.vdi")
    ]


NAME = st.text("abcdefghijklmnopqrstuvwxyz0123456789-._", min_size=1, max_size=60)


@hypothesis.settings(max_examples=50)
@hypothesis.given(NAME, st.integers(1, 65535), st.ip_addresses(v=4), st.integers(1, 65535))
def test_a_forward_is_read_as_it_was_written(name: str, host_port: int, guest: object, guest_port: int) -> None:
    rule = Forward(name, host_port, str(guest), guest_port)
    assert Forward.parse(f"        {rule}") == rule


@hypothesis.settings(max_examples=50)
@hypothesis.given(st.text())
def test_nothing_that_is_said_breaks_the_readers(text: str) -> None:
    facts.parse_machines(text)
    facts.parse_networks(text)
    facts.parse_info(text)
    facts.parse_extra(text)
    facts.parse_media(text)
    Forward.parse(text)
