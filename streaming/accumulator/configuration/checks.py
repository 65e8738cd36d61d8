"""What holds between the sections of a configuration: labels, ports, one Kafka, names given once."""

from __future__ import annotations

import graphlib

from streaming.accumulator.configuration.config import Element, Parameter, Place
from streaming.accumulator.configuration.plan import (
    ROOT,
    ForwardSource,
    KafkaOutput,
    ListeningSource,
    Plan,
    Relabel,
    SyslogSource,
    TailSource,
    actions,
)
from streaming.accumulator.configuration.sections import nearest
from streaming.kafka.access import KafkaAccess

_EVERY_ADDRESS = {"0.0.0.0", "::"}  # noqa: S104 (compared, not bound)


def check(plan: Plan, root: Element) -> None:
    """Raises ConfigError with the place of what does not fit."""
    if not plan.sources:
        raise root.place.error("no <source>: nothing would be received")
    _each_once(root, "@id")
    _each_once(root, "pos_file")
    _ports(plan)
    _labels_exist(plan)
    _no_circles(plan)
    _one_kafka(plan, root.place)


def _each_once(root: Element, name: str) -> None:
    """Fluentd refuses two plugins of one `@id`, and two tails that share a `pos_file`."""
    seen: dict[str, Parameter] = {}
    waiting = [root]
    while waiting:
        element = waiting.pop()
        waiting += reversed(element.elements)
        given = element.parameters.get(name)
        if given is None:
            continue
        if before := seen.get(given.value):
            raise given.place.error(f"{given.value!r} is given twice, first in {_where(before.place)}", name=name)
        seen[given.value] = given


def _ports(plan: Plan) -> None:
    listening = [s for s in plan.sources if not isinstance(s, TailSource)]
    for n, source in enumerate(listening):
        for before in listening[:n]:
            same = source.bind == before.bind or _EVERY_ADDRESS & {source.bind, before.bind}
            both = protocols(source) & protocols(before)
            if source.port == before.port and same and both:
                taken = f"port {source.port} ({', '.join(sorted(both))}) is taken"
                raise source.place.error(f"{taken} by the <source> in {_where(before.place)}", name="port")


def protocols(source: ListeningSource) -> set[str]:
    """Of its port: tcp, udp or both. Forward's is one of UDP too, for heartbeats, as in Fluentd."""
    if isinstance(source, ForwardSource):
        return {"tcp", "udp"}
    return {source.protocol} if isinstance(source, SyslogSource) else {"tcp"}


def _relabels(plan: Plan, label: str | None) -> list[Relabel]:
    return [action for action in actions(plan.pipeline(label)) if isinstance(action, Relabel)]


def _labels_exist(plan: Plan) -> None:
    wanted = [(source.label, source.place) for source in plan.sources]
    wanted += [(r.label, r.place) for label in (None, *plan.labels) for r in _relabels(plan, label)]
    for name, place in wanted:
        if name is not None and name not in plan.labels:
            known = dict.fromkeys([*plan.labels, ROOT])
            raise place.error(f"there is no <label {name}>", name="@label", remedy=nearest(name, known))


def _no_circles(plan: Plan) -> None:
    graph = {label: {r.label for r in _relabels(plan, label)} for label in (None, *plan.labels)}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        # It names each label behind the one that it leads to, the first again as the last.
        circle: list[str | None] = error.args[1][:0:-1]
        order = list(graph)
        first = min(range(len(circle)), key=lambda n: order.index(circle[n]))
        circle = [*circle[first:], *circle[:first], circle[first]]
        place = next(r.place for r in _relabels(plan, circle[-2]) if r.label == circle[-1])
        raise place.error(f"labels in a circle: {' -> '.join(label or ROOT for label in circle)}") from error


def _one_kafka(plan: Plan, place: Place) -> None:
    """One accumulator has one producer: what configures it must be the same for all outputs."""
    outputs = plan.kafka_outputs()
    if not outputs:
        raise place.error("no <match> of @type kafka2: nothing would be delivered")
    for output in outputs[1:]:
        _same(output, outputs[0])


def _same(output: KafkaOutput, first: KafkaOutput) -> None:
    for name, here, there in (
        ("brokers", output.brokers, first.brokers),
        ("TLS and user of Kafka", output.access, first.access),
        ("compression_codec", output.compression, first.compression),
    ):
        if here != there:
            raise output.place.error(
                f"{_said(here)} differs from {_said(there)} of the output in {_where(first.place)}; "
                "one accumulator serves one Kafka with one producer",
                name=name,
            )


def _said(value: str | KafkaAccess | None) -> str:
    """For an error: of an access all but the password."""
    if isinstance(value, KafkaAccess):
        return f"{value.protocol} {value.mechanism} {value.username or 'without a user'}"
    return value or "not given"


def _where(place: Place) -> str:
    return f"{place.file.name}:{place.line}"
