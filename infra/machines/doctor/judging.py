"""From facts to findings: machines from the outside in, what is between them, then the platform. Pure."""

from __future__ import annotations

from infra.machines.doctor.chain import Chain
from infra.machines.doctor.facts import Facts
from infra.machines.doctor.findings import Diagnosis, first_broken
from infra.machines.doctor.judging_machines import of_machine
from infra.machines.doctor.judging_network import firewalls, handshakes, ports
from infra.machines.doctor.judging_platform import elasticsearch, health, kafka, lag


def judge(facts: Facts) -> Diagnosis:
    """What is to be said of a deployment. Findings come machine by machine, then those of the platform."""
    chain = Chain()
    for name in facts.inventory.machines:
        chain.add(of_machine(facts, name))
    for step in (ports, firewalls, handshakes, kafka, elasticsearch, health, lag):
        chain.add(step(facts, chain))
    names = [*facts.inventory.machines, ""]
    found = sorted(chain.findings, key=lambda one: (names.index(one.machine), one.link.depth))
    return Diagnosis(facts.inventory.deployment, first_broken(found), tuple(found))
