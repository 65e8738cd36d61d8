"""Which packages of other makers a machine has, at which versions. Pure.

The versions stand here and nowhere else: a deployment installs exactly these (`vigil_packages.py`), and a change of one
is an upgrade. Elasticsearch and Kibana are of one version, as they have to be.
"""

from __future__ import annotations

from collections.abc import Mapping

from infra.machines.inventory import Inventory

ELASTIC, FLUENT = "9.5.3", "6.0.1-1"

VERSIONS: Mapping[str, str] = {"elasticsearch": ELASTIC, "kibana": ELASTIC, "fluent-package": FLUENT}

SERVICES: Mapping[str, tuple[str, ...]] = {
    "elasticsearch": ("elasticsearch",),
    "kibana": ("kibana",),
    "fluent-package": ("accumulator1", "accumulator2", "accumulator3"),
}
"""By package, what runs its programs."""


def packages_of(inventory: Inventory, machine: str) -> dict[str, str]:
    """The packages of a machine, by name, with their versions; empty: it needs none."""
    here = {one.service for one in inventory.instances(machine)}
    return {name: VERSIONS[name] for name, services in SERVICES.items() if not here.isdisjoint(services)}


def services_of(packages: tuple[str, ...]) -> frozenset[str]:
    """Services that have to be restarted to run new packages."""
    return frozenset(service for name in packages for service in SERVICES[name])
