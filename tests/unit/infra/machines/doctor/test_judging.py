"""What the doctor makes of facts: the outermost broken link comes first, and what hangs on it is not asked."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from infra.machines.doctor.facts import (
    Elasticsearch,
    Facts,
    Handshake,
    Kafka,
    Lag,
    Login,
    OfMachine,
    Tls,
    VirtualMachine,
    Way,
)
from infra.machines.doctor.findings import Diagnosis, Finding, Link, Verdict
from infra.machines.doctor.judging import judge
from infra.machines.doctor.showing import rows, show
from infra.machines.firewall_loading import FirewallStatus
from infra.machines.unreachable import Trouble
from infra.service_manager import RunState
from tests.support.deployment_facts import GIB, NOW, facts, with_machine, with_unit


def first(found: Facts) -> Finding:
    broken = judge(found).first_broken
    assert broken is not None
    return broken


def of(found: Diagnosis, machine: str, link: Link, about: str = "") -> Finding:
    return next(one for one in found.findings if (one.machine, one.link, one.about) == (machine, link, about))


def shown(found: Diagnosis) -> str:
    out = io.StringIO()
    show(found, Console(file=out, width=80))
    return out.getvalue()


def test_where_every_link_works_nothing_is_broken() -> None:
    found = judge(facts())
    assert found.healthy
    assert {one.verdict for one in found.findings} == {Verdict.OK}
    text = shown(found)
    assert "Every link works." in text
    assert max(map(len, text.splitlines())) <= 80
    assert "14 run" in text
    assert "4 are open to those who ask" in text


def test_a_machine_that_is_off_is_named_and_all_behind_it_waits() -> None:
    off = OfMachine(VirtualMachine("vigil-consumer", "poweroff"))
    broken = replace(facts(), machines={**facts().machines, "consumer": off})
    found = judge(replace(broken, kafka=Kafka(brokers=frozenset({"producer"}), under_replicated=("logs-0",))))
    assert found.first_broken == of(found, "consumer", Link.VIRTUAL_MACHINE)
    assert found.first_broken.sentence.startswith(
        "consumer: machine vigil-consumer does not run (poweroff); `VBoxManage startvm "
    )
    behind = [one for one in found.findings if one.machine == "consumer" and one is not found.first_broken]
    assert {(one.verdict, one.text) for one in behind} == {(Verdict.NOT_ASKED, "because of consumer: machine")}
    assert re.search(r"forward to TLS +not asked +because of consumer: machine", shown(found))
    # Consequences elsewhere say what they come of.
    assert of(found, "", Link.KAFKA).text == "lacks consumer of 2 brokers, because of consumer: machine"
    assert of(found, "", Link.COPIES).verdict is Verdict.NOTE
    assert of(found, "", Link.ELASTICSEARCH).verdict is Verdict.NOT_ASKED


@pytest.mark.parametrize(
    ("state", "link", "said"),
    [
        (OfMachine(VirtualMachine("vigil-producer")), Link.VIRTUAL_MACHINE, "does not exist in VirtualBox"),
        (OfMachine(None, Way.REFUSED), Link.FORWARD, "and its SSH server started?"),
        (OfMachine(VirtualMachine("x", "running"), Way.SILENT), Link.FORWARD, "gets no answer; deploy again"),
        (OfMachine(None, Way.OPEN, Login(Trouble.SILENT, "is closed", "Wait")), Link.SSH, "is closed; wait."),
        (OfMachine(None, Way.OPEN, Login(Trouble.HOST_KEY, "another key", "Compare")), Link.HOST_KEY, "another key"),
        (OfMachine(None, Way.OPEN, Login(Trouble.AUTHENTICATION, "no", "Is it")), Link.LOGIN, "no; is it."),
        (OfMachine(None, Way.OPEN, Login(), inside_error="no python"), Link.ANSWER, "tells nothing of itself"),
    ],
)
def test_each_link_of_the_way_in(state: OfMachine, link: Link, said: str) -> None:
    found = judge(replace(facts(), machines={**facts().machines, "producer": state}))
    assert found.first_broken is not None
    assert (found.first_broken.machine, found.first_broken.link) == ("producer", link)
    assert said in found.first_broken.sentence
    order = [one for one in found.findings if one.machine == "producer"]
    place = order.index(found.first_broken)
    assert {one.verdict for one in order[:place]} <= {Verdict.OK}
    assert {one.verdict for one in order[place + 1 :]} == {Verdict.NOT_ASKED}


def test_virtualbox_that_cannot_be_asked_stops_nobody() -> None:
    found = judge(with_machine(facts(), "producer", virtual=VirtualMachine("x", error="VBoxManage is not there")))
    assert found.healthy
    assert of(found, "producer", Link.VIRTUAL_MACHINE).verdict is Verdict.NOTE


@pytest.mark.parametrize(
    ("changes", "link", "verdict"),
    [
        ({"first_boot": "running"}, Link.FIRST_BOOT, Verdict.FAILED),
        ({"first_boot": "error"}, Link.FIRST_BOOT, Verdict.FAILED),
        ({"first_boot": ""}, Link.FIRST_BOOT, Verdict.OK),
        ({"began": NOW + 40, "ended": NOW + 41}, Link.CLOCK, Verdict.NOTE),
        ({"began": NOW - 3600, "ended": NOW - 3599}, Link.CLOCK, Verdict.FAILED),
        ({"began": NOW + 0.1, "ended": NOW + 0.9}, Link.CLOCK, Verdict.OK),
        ({"disks": {"/": (20 * GIB, 2 * GIB)}}, Link.DISK, Verdict.NOTE),
        ({"disks": {"/": (20 * GIB, 9 * GIB), "/var/lib/vigil": (20 * GIB, 0)}}, Link.DISK, Verdict.FAILED),
        ({"disks": {}}, Link.DISK, Verdict.OK),
        ({"memory": (4 * GIB, GIB // 5)}, Link.MEMORY, Verdict.NOTE),
        ({"memory": (4 * GIB, GIB // 50)}, Link.MEMORY, Verdict.FAILED),
        ({"memory": (0, 0)}, Link.MEMORY, Verdict.OK),
        ({"software": False}, Link.SOFTWARE, Verdict.FAILED),
    ],
)
def test_what_a_machine_says_of_itself(changes: dict[str, object], link: Link, verdict: Verdict) -> None:
    found = judge(with_machine(facts(), "producer", **changes))
    assert of(found, "producer", link).verdict is verdict
    assert found.healthy is (verdict is not Verdict.FAILED)
    if verdict is not Verdict.OK:
        assert of(found, "producer", link).remedy
    if link is Link.SOFTWARE:
        assert of(found, "producer", Link.UNIT).text == "because of producer: software"
        assert of(found, "producer", Link.PORT, "9092 kafka").text == "because of producer: software"


def test_a_unit_tells_its_reason_and_how_often_it_was_tried() -> None:
    failed = with_unit(facts(), "indexer", "producer", RunState.FAILED, "it ended with status 78: no", restarts=4)
    assert first(failed).sentence.startswith(
        "producer: unit indexer failed: it ended with status 78: no, restarted 4 times by itself; mend that, then"
    )
    assert "is stopped; deploy again" in first(with_unit(facts(), "order", "producer", RunState.STOPPED)).sentence
    waits = first(with_unit(facts(), "manager", "consumer", RunState.STARTING, "waits for what it needs"))
    assert "`journalctl -u vigil-manager.service` on consumer" in waits.sentence
    restarted = judge(with_unit(facts(), "indexer", "producer", RunState.RUNNING, restarts=2))
    assert restarted.healthy
    assert of(restarted, "producer", Link.UNIT, "indexer").verdict is Verdict.NOTE


def test_ports_tls_and_kafka_of_a_stopped_broker_are_not_asked() -> None:
    found = judge(with_unit(facts(), "kafka", "consumer", RunState.STOPPED))
    for link, about in ((Link.PORT, "9092 kafka"), (Link.PORT, "9095 kafka-copies"), (Link.TLS, "9094 kafka-host")):
        one = of(found, "consumer", link, about)
        assert (one.verdict, one.text) == (Verdict.NOT_ASKED, "because of consumer: unit kafka")
    assert of(found, "consumer", Link.PORT, "9243 elasticsearch").verdict is Verdict.OK


def closed(found: Facts, way: Way, rules: FirewallStatus) -> Facts:
    inside = found.machines["producer"].inside
    assert inside is not None
    tried = [(host, port, way if port == 9243 else was) for host, port, was in inside.tried]
    return with_machine(with_machine(found, "producer", tried=tried), "consumer", firewall=rules)


AS_WANTED = FirewallStatus(nftables=True, wanted=True, loaded=True, as_wanted=True)
OTHER = FirewallStatus(nftables=True, wanted=True, loaded=True, as_wanted=False)
NOT_LOADED = FirewallStatus(nftables=True, wanted=True)


def test_a_firewall_in_the_way_is_named() -> None:
    ours = first(closed(facts(), Way.SILENT, OTHER))
    assert ours.sentence == (
        "consumer: port 9243 elasticsearch gives no answer to producer: the firewall of consumer is in the way, whose "
        "rules are not those that were deployed; deploy again, which loads them."
    )
    others = first(closed(facts(), Way.SILENT, AS_WANTED))
    assert "something is in the way, and Vigil's own rules let them in; look at other tables" in others.sentence
    assert "refuses connections from producer" in first(closed(facts(), Way.REFUSED, AS_WANTED)).sentence
    # Nothing that hangs on the port is asked, but what goes another way is.
    found = judge(closed(facts(), Way.SILENT, OTHER))
    assert of(found, "consumer", Link.TLS, "9243 elasticsearch").verdict is Verdict.NOT_ASKED
    assert of(found, "", Link.KAFKA).verdict is Verdict.OK


def test_a_service_that_does_not_listen_is_told_from_a_firewall() -> None:
    inside = facts().machines["consumer"].inside
    assert inside is not None
    others = [place for place in inside.listening if place[1] != 9243]
    silent = first(with_machine(facts(), "consumer", listening=others))
    assert "is not listened at: elasticsearch-proxy runs, and has not opened it" in silent.sentence
    alone = first(with_machine(facts(), "consumer", listening=[*others, ("127.0.0.1", 9243)]))
    assert "listens at 127.0.0.1 alone" in alone.sentence
    everywhere = with_machine(facts(), "consumer", listening=[*others, ("::", 9243)])
    assert judge(everywhere).healthy


@pytest.mark.parametrize(
    ("rules", "verdict"),
    [
        (AS_WANTED, Verdict.OK),
        (NOT_LOADED, Verdict.FAILED),
        (OTHER, Verdict.FAILED),
        (FirewallStatus(nftables=True, wanted=True, loaded=True, as_wanted=True, trial=True), Verdict.NOTE),
        (FirewallStatus(nftables=False), Verdict.NOTE),
        (None, Verdict.FAILED),
    ],
)
def test_what_a_firewall_is_found_to_be(rules: FirewallStatus | None, verdict: Verdict) -> None:
    found = with_machine(facts(), "producer", firewall=rules)
    assert of(judge(found), "producer", Link.FIREWALL).verdict is verdict
    unwanted = replace(found, firewalls={"producer": False, "consumer": True})
    assert of(judge(unwanted), "producer", Link.FIREWALL).verdict is (Verdict.NOTE if rules is None else Verdict.OK)


def with_tls(found: Facts, handshake: Handshake, days: float | None = None) -> Facts:
    """Of the consumer's Elasticsearch."""

    def other(one: Tls) -> Tls:
        is_it = (one.machine, one.flow.name) == ("consumer", "elasticsearch")
        return replace(one, handshake=handshake, days_left=days, words="self-signed certificate") if is_it else one

    return replace(found, tls=tuple(map(other, found.tls)))


def test_handshakes() -> None:
    expired = first(with_tls(facts(), Handshake.EXPIRED, -3.2))
    assert expired.sentence.startswith("consumer: TLS 9243 elasticsearch has a certificate that expired 3 days ago; ")
    assert "self-signed" in first(with_tls(facts(), Handshake.STRANGER)).text
    assert "gives no answer to this host at 127.0.0.1:19212" in first(with_tls(facts(), Handshake.SILENT)).text
    assert "is the forward there?" in first(with_tls(facts(), Handshake.REFUSED)).sentence
    assert first(with_tls(facts(), Handshake.FAILED)).remedy
    near = judge(with_tls(facts(), Handshake.DONE, 3.0))
    assert of(near, "consumer", Link.TLS, "9243 elasticsearch").verdict is Verdict.NOTE
    assert of(judge(with_tls(facts(), Handshake.EXPIRED, -1)), "", Link.ELASTICSEARCH).text == (
        "because of consumer: TLS 9243 elasticsearch"
    )


def test_the_cluster_of_kafka() -> None:
    whole = frozenset({"producer", "consumer"})
    assert "gives no metadata: timed out" in first(replace(facts(), kafka=Kafka("timed out"))).text
    lost = first(replace(facts(), kafka=Kafka(brokers=frozenset({"producer"}))))
    assert (lost.link, lost.text) == (Link.KAFKA, "lacks consumer of 2 brokers")
    topics = first(replace(facts(), kafka=Kafka(brokers=whole, missing_topics=("a", "b", "c", "d"))))
    assert topics.sentence == "topics are missing: a, b, c and 1 more; deploy again, which makes them."
    behind = first(replace(facts(), kafka=Kafka(brokers=whole, under_replicated=("logs-0",))))
    assert (behind.link, behind.text) == (Link.COPIES, "partitions that lack a copy: 1 (logs-0)")
    assert "without a leader" in first(replace(facts(), kafka=Kafka(brokers=whole, offline=("logs-0",)))).text
    found = judge(replace(facts(), kafka=Kafka("timed out"), lag=None))
    assert of(found, "", Link.LAG).text == "because of Kafka"


def test_elasticsearch_health_and_lag() -> None:
    red = first(replace(facts(), elasticsearch=Elasticsearch(ok=False, words="cluster is red")))
    assert (red.link, red.text) == (Link.ELASTICSEARCH, "is not well: cluster is red")
    says = first(with_unit(facts(), "indexer", "producer", RunState.RUNNING, "not elasticsearch (time-out)"))
    assert (says.link, says.text) == (Link.HEALTH, "says: not elasticsearch (time-out)")
    late = replace(facts(), lag={"indexer": Lag(5000, 900.0)})
    assert first(late).sentence == (
        "lag indexer is 5000 records behind, the oldest of them 15 minutes old; `journalctl -u vigil-indexer` on "
        "producer says why."
    )
    assert judge(replace(facts(), lag={"indexer": Lag(5000, 90.0)})).healthy
    assert first(replace(facts(), lag=None, lag_error="no")).link is Link.LAG
    stopped = judge(with_unit(late, "indexer", "producer", RunState.STOPPED))
    assert of(stopped, "", Link.LAG, "indexer").text.endswith("because of producer: unit indexer")


def test_the_outermost_link_comes_first_whatever_else_is_broken() -> None:
    found = with_unit(facts(), "order", "producer", RunState.FAILED, "x")
    found = with_machine(found, "consumer", login=Login(Trouble.HOST_KEY, "another key", "Compare"), inside=None)
    found = replace(found, lag={"indexer": Lag(9, 900.0)})
    assert (first(found).machine, first(found).link) == ("consumer", Link.HOST_KEY)
    text = shown(judge(found))
    assert "First broken link: consumer: host key another key; compare." in text


def test_hostile_words_reach_no_terminal() -> None:
    found = judge(with_unit(facts(), "order", "producer", RunState.FAILED, "\x1b[2J[bold]x[/bold]"))
    assert "\x1b" not in shown(found)
    assert "[bold]x[/bold]" in shown(found).replace("\n", "")


def test_it_is_told_as_json_too() -> None:
    found = judge(with_unit(facts(), "order", "producer", RunState.STOPPED))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Diagnosis) == found


STATES = st.sampled_from(
    [
        OfMachine(VirtualMachine("m", "aborted")),
        OfMachine(None, Way.REFUSED),
        OfMachine(None, Way.OPEN, Login(Trouble.SILENT, "x", "Y")),
        OfMachine(None, Way.OPEN, Login(Trouble.AUTHENTICATION, "x", "Y")),
        OfMachine(None, Way.OPEN, Login(), inside_error="x"),
        None,
    ]
)


@settings(max_examples=60)
@given(STATES, STATES, st.sampled_from(Handshake), st.sampled_from(Way), st.booleans())
def test_what_is_broken_is_named_and_what_hangs_on_it_is_not_called_broken(
    producer: OfMachine | None, consumer: OfMachine | None, handshake: Handshake, way: Way, has_kafka: bool
) -> None:
    found = closed(with_tls(facts(), handshake), way, AS_WANTED)
    states = {name: state for name, state in (("producer", producer), ("consumer", consumer)) if state}
    found = replace(found, machines={**found.machines, **states}, kafka=found.kafka if has_kafka else None)
    diagnosis = judge(found)
    failed = [one for one in diagnosis.findings if one.verdict is Verdict.FAILED]
    assert diagnosis.healthy is (not failed)
    for name in states:
        assert len([one for one in failed if one.machine == name]) == 1
    for one in diagnosis.findings:
        assert (one.verdict is Verdict.FAILED) <= bool(one.remedy)
        assert (one.verdict is Verdict.NOT_ASKED) <= one.text.startswith("because")
    listed = list(rows(diagnosis))
    assert [one for one in listed if one.verdict is Verdict.FAILED] == failed
