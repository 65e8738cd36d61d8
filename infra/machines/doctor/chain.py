"""What was found so far, and which broken link keeps a later one from being asked. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from infra.machines.doctor.findings import Finding, Link, Verdict
from infra.machines.flows import Flow


def because(broken: Finding) -> str:
    """Why something was not asked."""
    return f"because of {broken.where}"


def port_name(flow: Flow) -> str:
    """As a finding is about it."""
    return f"{flow.port} {flow.name}"


class Chain:
    """Findings in the order in which they were made, the outermost links first."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def add(self, found: Iterable[Finding]) -> None:
        """Takes in what was found next. What is iterated over may look at what was found before it."""
        for one in found:
            self.findings.append(one)

    def failed(self, machine: str, link: Link, about: str = "") -> Finding | None:
        """The finding that says that a link is broken."""
        return next(
            (
                one
                for one in self.findings
                if (one.machine, one.link, one.about) == (machine, link, about) and one.verdict is Verdict.FAILED
            ),
            None,
        )

    def shut_out(self, machine: str) -> Finding | None:
        """What keeps us out of a machine."""
        return next(
            (
                one
                for one in self.findings
                if one.machine == machine and one.link.depth <= Link.ANSWER.depth and one.verdict is Verdict.FAILED
            ),
            None,
        )

    def stands(self, machine: str, service: str) -> Finding | None:
        """What keeps a service of a machine from working at all: no way in, no software, or its unit."""
        return self.shut_out(machine) or self.failed(machine, Link.SOFTWARE) or self.failed(machine, Link.UNIT, service)

    def closed(self, machine: str, service: str, flow: Flow) -> Finding | None:
        """What keeps this host from asking a service at a port: the above, the port, or TLS."""
        about = port_name(flow)
        return (
            self.stands(machine, service)
            or self.failed(machine, Link.PORT, about)
            or self.failed(machine, Link.TLS, about)
        )


def outermost(reasons: Sequence[Finding | None]) -> Finding | None:
    """Of reasons, one for each of several machines: the outermost, if there is one for each; None: one is well."""
    found = [one for one in reasons if one is not None]
    if not found or len(found) < len(reasons):
        return None
    return min(found, key=lambda one: one.link.depth)
