"""Whose a machine or a network is."""

from __future__ import annotations

import ipaddress
import uuid

import hypothesis
import hypothesis.strategies as st
from vbox import owner
from vbox.facts import Network

OWNER, OTHER = "vigil@/home/me/vigil", "vigil@/home/other/vigil"


def test_a_machine_is_ours_by_its_uuid_also_before_it_is_marked() -> None:
    ours = owner.machine_uuid(OWNER, "vigil-producer")
    assert owner.owns_machine(OWNER, "vigil-producer", ours, None)
    assert owner.owns_machine(OWNER, "vigil-producer", ours.upper(), OWNER)
    assert not owner.owns_machine(OWNER, "vigil-producer", ours, OTHER)
    assert not owner.owns_machine(OWNER, "vigil-producer", str(uuid.uuid4()), OWNER)
    assert not owner.owns_machine(OTHER, "vigil-producer", ours, None)
    assert not owner.owns_machine(OWNER, "vigil-consumer", ours, None)


def test_a_network_is_ours_by_its_mark_and_its_fingerprint() -> None:
    network = Network("vigil", "10.77.0.0/24", owner.fingerprint(OWNER, "vigil"), ())
    marked = {owner.network_key("vigil"): OWNER}
    assert owner.owns_network(OWNER, network, marked)
    assert not owner.owns_network(OWNER, network, {})
    assert not owner.owns_network(OTHER, network, marked)
    # Removed by hand and made anew by somebody, VirtualBox's own prefix is on it.
    assert not owner.owns_network(OWNER, Network("vigil", "10.77.0.0/24", "fd17:625c:f037:4d00::/64", ()), marked)
    assert not owner.owns_network(OWNER, Network("vigil", "10.77.0.0/24", "", ()), marked)


@hypothesis.settings(max_examples=50)
@hypothesis.given(st.text(min_size=1), st.text(min_size=1))
def test_a_fingerprint_is_a_prefix_that_virtualbox_takes(name: str, network: str) -> None:
    prefix = ipaddress.IPv6Network(owner.fingerprint(name, network))
    assert prefix.prefixlen == 64
    assert prefix.subnet_of(ipaddress.IPv6Network("fd00::/8"))
    assert str(prefix) == owner.fingerprint(name, network)
