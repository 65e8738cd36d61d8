"""Kafka, Elasticsearch, and how workers are. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infra.machines.doctor.chain import Chain, because, outermost
from infra.machines.doctor.facts import Facts, Kafka, Lag
from infra.machines.doctor.findings import Finding, Link, Verdict
from infra.machines.doctor.judging_network import listener
from infra.machines.flows import FLOWS, Flow
from infra.machines.placement import Role
from infra.machines.unreachable import plain
from infra.service_manager import RunState

LAG_NOTE_S, LAG_FAILED_S = 60.0, 300.0
"""A worker that was restarted catches up within seconds; five minutes of silence are somebody's incident."""
SHOWN = 3

_JOURNAL = "`journalctl -u vigil-kafka` on its machines says more"


def _flow(name: str) -> Flow:
    return next(flow for flow in FLOWS if flow.name == name)


_KAFKA, _ELASTICSEARCH = _flow("kafka-host"), _flow("elasticsearch")


def _no_broker(facts: Facts, chain: Chain, machines: Sequence[str]) -> Finding | None:
    """What keeps us from every one of these brokers."""
    return outermost([chain.closed(machine, listener(_KAFKA, facts.software), _KAFKA) for machine in machines])


def kafka(facts: Facts, chain: Chain) -> Iterator[Finding]:
    """The cluster, its topics, and their copies."""
    brokers = list(facts.inventory.having(Role.BROKER))
    reason, found = _no_broker(facts, chain, brokers), facts.kafka
    if reason is not None or found is None:
        text = because(reason) if reason else "because no broker could be asked"
        yield from (Finding("", link, Verdict.NOT_ASKED, text) for link in (Link.KAFKA, Link.TOPICS, Link.COPIES))
        return
    if found.error:
        broken = Finding("", Link.KAFKA, Verdict.FAILED, f"gives no metadata: {found.error}", remedy=_JOURNAL)
        yield broken
        yield from (Finding("", link, Verdict.NOT_ASKED, because(broken)) for link in (Link.TOPICS, Link.COPIES))
        return
    missing = [name for name in brokers if name not in found.brokers]
    why = _no_broker(facts, chain, missing) if missing else None
    yield _brokers(missing, len(brokers), why)
    yield _topics(found)
    yield _copies(found, missing, why)


def _brokers(missing: Sequence[str], of: int, why: Finding | None) -> Finding:
    if not missing:
        return Finding("", Link.KAFKA, Verdict.OK, f"{of} of {of} brokers")
    text = f"lacks {', '.join(missing)} of {of} brokers"
    if why is not None:
        return Finding("", Link.KAFKA, Verdict.NOTE, f"{text}, {because(why)}")
    return Finding("", Link.KAFKA, Verdict.FAILED, text, remedy=_JOURNAL)


def _topics(found: Kafka) -> Finding:
    if not found.missing_topics:
        return Finding("", Link.TOPICS, Verdict.OK, "all there")
    text = f"are missing: {_some(found.missing_topics)}"
    return Finding("", Link.TOPICS, Verdict.FAILED, text, remedy="deploy again, which makes them")


def _copies(found: Kafka, missing: Sequence[str], why: Finding | None) -> Finding:
    if found.offline:
        text = f"partitions without a leader: {len(found.offline)} ({_some(found.offline)})"
    elif found.under_replicated:
        text = f"partitions that lack a copy: {len(found.under_replicated)} ({_some(found.under_replicated)})"
    else:
        return Finding("", Link.COPIES, Verdict.OK, "every partition has all of its copies")
    if missing:
        reason = because(why) if why is not None else f"because {', '.join(missing)} is missing among the brokers"
        return Finding("", Link.COPIES, Verdict.NOTE, f"{text}, {reason}")
    return Finding("", Link.COPIES, Verdict.FAILED, text, remedy=f"a broker that was away catches up; else {_JOURNAL}")


def elasticsearch(facts: Facts, chain: Chain) -> Iterator[Finding]:
    """Its cluster, by the first of its machines, which all clients ask."""
    first = next(iter(facts.inventory.having(Role.ELASTICSEARCH)))
    reason = chain.stands(first, "elasticsearch") or chain.closed(
        first, listener(_ELASTICSEARCH, facts.software), _ELASTICSEARCH
    )
    found = facts.elasticsearch
    if reason is not None or found is None:
        text = because(reason) if reason else "because it could not be asked"
        yield Finding("", Link.ELASTICSEARCH, Verdict.NOT_ASKED, text)
    elif found.ok:
        yield Finding("", Link.ELASTICSEARCH, Verdict.OK, found.words)
    else:
        remedy = f"`journalctl -u vigil-elasticsearch` on {first} says more"
        yield Finding("", Link.ELASTICSEARCH, Verdict.FAILED, f"is not well: {found.words}", remedy=remedy)


def health(facts: Facts, chain: Chain) -> Iterator[Finding]:
    """What running workers say of themselves, where that is not that they are well."""
    del chain
    for machine, asked in facts.machines.items():
        for instance, unit in (asked.units or {}).items():
            if unit.status.state is RunState.RUNNING and unit.status.detail:
                text = f"says: {plain(unit.status.detail, 200)}"
                remedy = f"`journalctl -u {instance.unit}` on {machine} says more"
                yield Finding(machine, Link.HEALTH, Verdict.FAILED, text, instance.service, remedy)


def lag(facts: Facts, chain: Chain) -> Iterator[Finding]:
    """How far workers are behind."""
    for one in chain.findings:
        if one.link in (Link.KAFKA, Link.TOPICS) and one.verdict in (Verdict.FAILED, Verdict.NOT_ASKED):
            text = one.text if one.verdict is Verdict.NOT_ASKED else because(one)
            yield Finding("", Link.LAG, Verdict.NOT_ASKED, text)
            return
    if facts.lag is None:
        text = f"cannot be measured: {facts.lag_error or 'no answer'}"
        yield Finding("", Link.LAG, Verdict.FAILED, text, remedy=_JOURNAL)
        return
    for worker, behind in facts.lag.items():
        yield _of_worker(facts, chain, worker, behind)


def _of_worker(facts: Facts, chain: Chain, worker: str, behind: Lag) -> Finding:
    age = behind.oldest_s or 0.0
    if not behind.records:
        return Finding("", Link.LAG, Verdict.OK, "has read everything", worker)
    if age < LAG_NOTE_S:
        return Finding("", Link.LAG, Verdict.OK, f"is {behind.records} records behind", worker)
    text = f"is {behind.records} records behind, the oldest of them {age / 60:.0f} minutes old"
    on = [one.machine for one in facts.instances if one.service == worker]
    why = outermost([chain.stands(machine, worker) for machine in on])
    if age < LAG_FAILED_S or why is not None:
        return Finding("", Link.LAG, Verdict.NOTE, f"{text}, {because(why)}" if why else text, worker)
    remedy = f"`journalctl -u vigil-{worker}` on {' and '.join(on) or 'its machine'} says why"
    return Finding("", Link.LAG, Verdict.FAILED, text, worker, remedy)


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")
