"""What a command is asked for is checked whole before anything is called."""

from __future__ import annotations

import contextlib
import copy
import json

import hypothesis
import hypothesis.strategies as st
import pytest
from vbox.errors import BadSpec
from vbox.facts import Forward
from vbox.spec import ImageSpec, NetworkSpec, Spec

SUM = "0" * 64
WHOLE: dict[str, dict[str, object] | object] = {
    "owner": "vigil@/home/me",
    "state_dir": "/home/me/vigil",
    "network": {"name": "vigil", "cidr": "10.77.0.0/24", "ports": [2211, 2212]},
    "forwards": [{"name": "a-ssh", "host_port": 2211, "guest_address": "10.77.0.11", "guest_port": 22}],
    "image": {"source": "/images/a.vmdk", "checksum": f"sha256:{SUM}", "format": "vmdk"},
    "machine": {
        "name": "producer",
        "vm_name": "vigil-producer",
        "os_type": "Debian_64",
        "cpus": 2,
        "memory_mb": 4096,
        "disk_gb": 20,
        "mac": "08:00:27:65:72:0b",
        "fingerprint": "0123456789abcdef",
        "stop_timeout_s": 90,
    },
    "seed": {"meta-data": "a", "user-data": "b", "network-config": "c"},
}


def test_a_whole_one() -> None:
    spec = Spec(json.dumps(WHOLE))
    assert spec.network == NetworkSpec("vigil", "10.77.0.0/24", (2211, 2212))
    assert spec.forwards == (Forward("a-ssh", 2211, "10.77.0.11", 22),)
    assert spec.image == ImageSpec("/images/a.vmdk", "sha256", SUM, "vmdk")
    assert spec.machine.vm_name == "vigil-producer"
    assert spec.existing == ("producer", "vigil-producer", 90)
    assert spec.seed == {"meta-data": "a", "user-data": "b", "network-config": "c"}
    assert str(spec.folder("producer")) == "/home/me/vigil/machines/producer"


@pytest.mark.parametrize(
    ("part", "key", "value", "said"),
    [
        ("machine", "name", "../../etc", "machine.name is not of the form"),
        ("machine", "vm_name", "--delete", "machine.vm_name is not of the form"),
        ("machine", "cpus", 0, "machine.cpus is no whole number from 1 to 256"),
        ("machine", "cpus", True, "machine.cpus is no whole number"),
        ("machine", "mac", "080027657200", "machine.mac is not of the form"),
        ("machine", "stop_timeout_s", -1, "machine.stop_timeout_s"),
        ("image", "source", "relative.vmdk", "neither an absolute path nor an https URL"),
        ("image", "source", "http://images/a.vmdk", "no https URL"),
        ("image", "source", "file:///etc/passwd", "no https URL"),
        ("image", "checksum", "md5:0", "neither sha256: and 64 hex digits nor sha512: and 128"),
        ("image", "checksum", f"sha512:{SUM}", "neither sha256"),
        ("image", "format", "qcow2", "none of auto, vmdk"),
        ("network", "ports", [70000], "port is no whole number"),
        ("network", "name", "a b", "network.name is not of the form"),
        ("seed", "user-data", "", "seed.user-data is no text"),
    ],
)
def test_what_is_refused(part: str, key: str, value: object, said: str) -> None:
    broken = copy.deepcopy(WHOLE)
    place = broken[part]
    assert isinstance(place, dict)
    place[key] = value
    with pytest.raises(BadSpec, match=said):
        _read(json.dumps(broken))


@pytest.mark.parametrize("missing", ["owner", "state_dir", "network", "image", "machine", "seed"])
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(BadSpec, match=f"{missing} is missing"):
        _read(json.dumps({key: value for key, value in WHOLE.items() if key != missing}))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"owner": "a\\nb", "state_dir": "/x"}', '{"owner": "a"}'])
def test_what_is_no_spec(text: str) -> None:
    with pytest.raises(BadSpec):
        Spec(text)


def test_a_sum_may_be_in_capitals() -> None:
    spec = Spec(json.dumps(WHOLE | {"image": {"source": "https://a/b.ova", "checksum": "SHA512:" + "AB" * 64}}))
    assert spec.image == ImageSpec("https://a/b.ova", "sha512", "ab" * 64, "auto")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*WHOLE, "name"]), inner, max_size=4),
    max_leaves=8,
)


@hypothesis.settings(max_examples=50)
@hypothesis.given(st.dictionaries(st.sampled_from(list(WHOLE)), json_values))
def test_whatever_is_asked_for_is_read_or_refused(value: dict[str, object]) -> None:
    with contextlib.suppress(BadSpec):
        _read(json.dumps(WHOLE | value))


def _read(text: str) -> None:
    spec = Spec(text)
    _ = (spec.network, spec.forwards, spec.image, spec.machine, spec.existing, spec.seed)
