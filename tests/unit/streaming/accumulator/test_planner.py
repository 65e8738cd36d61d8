"""Plans: the project's own files are understood, and what is not understood is refused where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from streaming.accumulator.plan import ForwardSource, KafkaOutput, NullOutput, Plan, TailSource
from streaming.accumulator.planner import load_plan
from streaming.accumulator.routes import Router
from streaming.errors import ConfigError
from streaming.settings import CHECKOUT

KAFKA = "  @type kafka2\n  brokers k:1\n  default_topic logs\n"


def plan_of(tmp_path: Path, text: str) -> Plan:
    file = tmp_path / "test.conf"
    file.write_text(text)
    return load_plan(file, {})


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_projects_files_are_understood(number: int) -> None:
    environment = {
        f"VIGIL_ACCUMULATOR{number}_PORT": "5000",
        "VIGIL_BIND_HOST": "127.0.0.9",
        "VIGIL_KAFKA_BOOTSTRAP": "kafka:9",
        "VIGIL_TOPIC_PREFIX": "t-",
        "VIGIL_LOG_DIR": "/logs",
    }
    plan = load_plan(CHECKOUT / "fluentd" / f"fluent{number}.conf", environment)
    forward = next(s for s in plan.sources if isinstance(s, ForwardSource))
    assert (forward.bind, forward.port) == ("127.0.0.9", 5000)
    tails = [s.paths for s in plan.sources if isinstance(s, TailSource)]
    assert tails == ([("/logs/*.jsonl",)] if number == 1 else [])
    outputs = plan.kafka_outputs()
    assert {o.topic for o in outputs} == {"t-logs", "t-heartbeats", "t-registrations"}
    assert {(o.brokers, o.key_field) for o in outputs} == {("kafka:9", "node_id")}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_projects_files_have_the_default_ports(number: int) -> None:
    plan = load_plan(CHECKOUT / "fluentd" / f"fluent{number}.conf", {})
    forward = next(s for s in plan.sources if isinstance(s, ForwardSource))
    assert (forward.bind, forward.port) == ("127.0.0.1", 24223 + number)


@pytest.mark.parametrize(
    ("message_type", "topic"),
    [
        ("LOG", "logs"),
        (None, "logs"),
        ("HEARTBEAT", "heartbeats"),
        ("heartbeat", "heartbeats"),
        ("Registration", "registrations"),
        ("CLOSE_LOG", "logs"),
        ("xHEARTBEAT", "logs"),
        ({"a": 1}, "logs"),
        (7, "logs"),
    ],
)
def test_the_projects_routes(message_type: object, topic: str) -> None:
    router = Router(load_plan(CHECKOUT / "fluentd" / "fluent2.conf", {}))
    record = {} if message_type is None else {"message_type": message_type}
    for _ in range(2):  # decided, then remembered
        outputs = router.routes(None, "any.tag").outputs(record)  # type: ignore[arg-type]
        assert [o.topic for o in outputs if isinstance(o, KafkaOutput)] == [topic]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("<match **>\n" + KAFKA + "</match>\n", 1, "no <source>"),
        ("<source>\n  @type forward\n</source>\n", 1, "nothing would be delivered"),
        ("<source>\n  @type foward\n</source>\n", 2, "Did you mean forward?"),
        ("<source>\n  port 1\n</source>\n", 1, "@type: is required"),
        ("<source>\n  @type forward\n  prot 1\n</source>\n", 3, "Did you mean port?"),
        ("<source>\n  @type forward\n  port 99999\n</source>\n", 3, "no port"),
        ("<source>\n  @type forward\n  <security>\n  </security>\n</source>\n", 3, "<security> is unknown"),
        ("<sauce>\n</sauce>\n", 1, "Did you mean source?"),
        ("<match>\n" + KAFKA + "</match>\n", 1, "a pattern for tags is missing"),
        ("<match **>\n  @type kafka2\n  default_topic x\n</match>\n", 1, "brokers: is required"),
        ("<match **>\n" + KAFKA + "  <buffer>\n  flush_interval 200ms\n  </buffer>\n</match>\n", 6, "write 0.2s"),
        ("<match **>\n" + KAFKA + "  <buffer>\n  @type memory\n  </buffer>\n</match>\n", 6, "'memory' is not supp"),
        ("<match **>\n" + KAFKA + "  required_acks 1\n</match>\n", 5, "'1' is not supported"),
        ("<match **>\n  @type copy\n</match>\n", 1, "no <store>"),
        ("<filter **>\n  @type grep\n</filter>\n", 1, "neither <regexp> nor <exclude>"),
        ("<label LOGS>\n</label>\n", 1, "begins with @"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, text: str, line: int, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        plan_of(tmp_path, text)
    assert caught.value.line == line


SOURCE = "<source>\n  @type forward\n</source>\n"


def test_labels_that_are_missing_or_lead_in_circles_are_refused(tmp_path: Path) -> None:
    relabel = "<match **>\n  @type relabel\n  @label {}\n</match>\n"
    kafka = "<match k>\n" + KAFKA + "</match>\n"
    with pytest.raises(ConfigError, match=r"there is no <label @LOG>\. Did you mean @LOGS"):
        plan_of(tmp_path, SOURCE + kafka + relabel.format("@LOG") + "<label @LOGS>\n</label>\n")
    circle = f"<label @A>\n{relabel.format('@B')}</label>\n<label @B>\n{relabel.format('@A')}</label>\n"
    with pytest.raises(ConfigError, match="@A -> @B -> @A"):
        plan_of(tmp_path, SOURCE + kafka + circle)


def test_two_kafkas_are_refused(tmp_path: Path) -> None:
    first = "<match a>\n" + KAFKA + "</match>\n"
    with pytest.raises(ConfigError, match="one accumulator serves one Kafka"):
        plan_of(tmp_path, SOURCE + first + first.replace("k:1", "k:2"))


def test_the_first_match_takes_an_event_and_filters_before_it_apply(tmp_path: Path) -> None:
    grep = "<filter a.**>\n  @type grep\n  <regexp>\n    key level\n    pattern /^E/\n  </regexp>\n</filter>\n"
    null = "<match drop.*>\n  @type null\n</match>\n"
    router = Router(plan_of(tmp_path, SOURCE + null + grep + "<match {a,b}.**>\n" + KAFKA + "</match>\n" + null))

    def ends(tag: str, **record: str) -> list[str]:
        return [type(o).__name__ for o in router.routes(None, tag).outputs({**record})]

    assert ends("drop.x") == [NullOutput.__name__]
    assert ends("a.x", level="ERROR") == [KafkaOutput.__name__]
    assert ends("a.x", level="INFO") == []
    assert ends("a.x") == []
    assert ends("b.x", level="INFO") == [KafkaOutput.__name__]
    assert not router.routes(None, "c").matched
    assert not router.routes("@GONE", "a.x").matched
