"""Ports between machines and from the host, firewalls, TLS. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from infra.machines.doctor.chain import Chain, because, port_name
from infra.machines.doctor.facts import Facts, Handshake, OfMachine, Tls, Way
from infra.machines.doctor.findings import Finding, Link, Verdict
from infra.machines.flows import Flow, flows_to
from infra.machines.inventory import ForwardName
from infra.machines.placement import Role
from infra.machines.programs import Software

DAYS_NOTE = 14.0
"""A renewal comes weeks earlier; what is so near its end was not renewed."""

EVERYWHERE = frozenset({"0.0.0.0", "::"})  # noqa: S104  read, not bound


def listener(flow: Flow, software: Software) -> str:
    """The service that listens at a flow's port."""
    match flow.to:
        case Role.ELASTICSEARCH if software is Software.UPLOAD:
            return "elasticsearch-proxy"
        case Role.BROKER | Role.CONTROLLER:
            return "kafka"
        case None:
            return "ssh"
    return str(flow.to)


def expected(facts: Facts) -> Iterator[tuple[Flow, str]]:
    """Every port that must be listened at: flow and machine."""
    for machine in facts.inventory.machines:
        for flow in flows_to(facts.inventory, machine, facts.software):
            if flow.forward is not ForwardName.SSH:
                yield flow, machine


def ports(facts: Facts, chain: Chain) -> Iterator[Finding]:
    """Each port of each machine: listened at, and reached from every machine that needs it."""
    for flow, machine in expected(facts):
        service = listener(flow, facts.software)
        reason, inside = chain.stands(machine, service), facts.machines[machine].inside
        if reason is not None or inside is None:
            text = because(reason) if reason else "because the machine gave no answer"
            yield Finding(machine, Link.PORT, Verdict.NOT_ASKED, text, port_name(flow))
            continue
        at = {where for where, port in inside.listening if port == flow.port}
        if at & {str(facts.inventory.machines[machine].address), *EVERYWHERE}:
            yield _reached(facts, flow, machine)
            continue
        state = f"and listens at {', '.join(sorted(at))} alone" if at else "and has not opened it"
        remedy = f"`journalctl -u vigil-{service}` on {machine} says how far it has come"
        text = f"is not listened at: {service} runs, {state}"
        yield Finding(machine, Link.PORT, Verdict.FAILED, text, port_name(flow), remedy)


def _reached(facts: Facts, flow: Flow, machine: str) -> Finding:
    about, ways = port_name(flow), _tried(facts, flow, machine)
    closed = {name: way for name, way in ways.items() if way is not Way.OPEN}
    if not closed:
        text = f"open to {', '.join(ways)}" if ways else "listened at"
        return Finding(machine, Link.PORT, Verdict.OK, text, about)
    who = ", ".join(closed)
    if set(closed.values()) == {Way.REFUSED}:
        text = f"refuses connections from {who}, though it is listened at"
        remedy = "does a firewall reject them? `nft list ruleset`"
        return Finding(machine, Link.PORT, Verdict.FAILED, text, about, remedy)
    text, remedy = in_the_way(facts.machines[machine], machine)
    return Finding(machine, Link.PORT, Verdict.FAILED, f"gives no answer to {who}: {text}", about, remedy)


def _tried(facts: Facts, flow: Flow, machine: str) -> dict[str, Way]:
    """What became of the attempts of other machines, by their names; of those that could be asked."""
    names = {one.address: name for name, one in facts.inventory.machines.items()}
    address = str(facts.inventory.machines[machine].address)
    found = {}
    for source in flow.sources(facts.inventory, machine, facts.software):
        inside = facts.machines[names[source]].inside
        for host, port, way in inside.tried if inside is not None else ():
            if (host, port) == (address, flow.port):
                found[names[source]] = way
    return found


def in_the_way(asked: OfMachine, machine: str) -> tuple[str, str]:
    """What swallows connections to a port that is listened at, and what to do."""
    rules = asked.firewall
    if rules is not None and rules.loaded and not rules.as_wanted:
        return (
            f"the firewall of {machine} is in the way, whose rules are not those that were deployed",
            "deploy again, which loads them",
        )
    own = "Vigil's own rules let them in" if rules is not None and rules.loaded else "Vigil has no rules loaded there"
    return (
        f"something is in the way, and {own}",
        f"look at other tables on {machine} (`nft list ruleset`) and at the network between",
    )


def firewalls(facts: Facts, chain: Chain) -> Iterator[Finding]:
    """What is loaded on each machine."""
    for machine, asked in facts.machines.items():
        if (reason := chain.shut_out(machine)) is not None:
            yield Finding(machine, Link.FIREWALL, Verdict.NOT_ASKED, because(reason))
        else:
            yield _firewall(machine, asked, facts.firewalls.get(machine, True))


def _firewall(machine: str, asked: OfMachine, wanted: bool) -> Finding:
    def found(verdict: Verdict, text: str, remedy: str = "") -> Finding:
        return Finding(machine, Link.FIREWALL, verdict, text, remedy=remedy)

    rules, deploy = asked.firewall, "deploy again, which loads them"
    if rules is None:
        said = asked.firewall_error or "no answer"
        return found(
            Verdict.NOTE if not wanted else Verdict.FAILED, f"cannot be asked: {said}", "see docs/machines-network.md"
        )
    if not wanted:
        return found(Verdict.OK, "none of Vigil's, as it should be")
    if not rules.nftables:
        return found(
            Verdict.NOTE,
            "none: every port is open, since the machine has no nftables",
            "install the package nftables, and deploy again",
        )
    if not rules.loaded:
        return found(Verdict.FAILED, "is not loaded: every port is open", deploy)
    if rules.trial:
        return found(Verdict.NOTE, "has rules on trial, which nobody has confirmed yet")
    if not rules.as_wanted:
        return found(Verdict.FAILED, "has other rules loaded than those that were deployed", deploy)
    return found(Verdict.OK, f"as deployed, {rules.dropped} packets dropped")


def handshakes(facts: Facts, chain: Chain) -> Iterator[Finding]:
    """TLS from this host, at each port that it reaches."""
    for one in facts.tls:
        reason = chain.closed(one.machine, listener(one.flow, facts.software), one.flow)
        if reason is not None:
            yield Finding(one.machine, Link.TLS, Verdict.NOT_ASKED, because(reason), port_name(one.flow))
        else:
            yield _handshake(facts, one)


def _handshake(facts: Facts, tls: Tls) -> Finding:
    about = port_name(tls.flow)

    def failed(text: str, remedy: str) -> Finding:
        return Finding(tls.machine, Link.TLS, Verdict.FAILED, text, about, remedy)

    days = tls.days_left
    renew = "deploy again, which renews certificates"
    match tls.handshake:
        case Handshake.EXPIRED:
            ago = f" {-days:.0f} days ago" if days is not None and days <= -1 else ""
            return failed(f"has a certificate that expired{ago}", renew)
        case Handshake.STRANGER:
            return failed(f"shows a certificate that is not this deployment's: {tls.words}", renew)
        case Handshake.SILENT:
            text, remedy = in_the_way(facts.machines[tls.machine], tls.machine)
            return failed(f"gives no answer to this host at {tls.place}: {text}", remedy)
        case Handshake.REFUSED:
            return failed(f"is refused at {tls.place}", "is the forward there? Deploy again, which makes it anew")
        case Handshake.FAILED:
            return failed(f"fails: {tls.words}", f"does another program listen at {tls.place}?")
        case Handshake.DONE:
            text = "handshake done" if days is None else f"certificate good for {days:.0f} days"
            near = days is not None and days < DAYS_NOTE
            return Finding(
                tls.machine, Link.TLS, Verdict.NOTE if near else Verdict.OK, text, about, renew if near else ""
            )
