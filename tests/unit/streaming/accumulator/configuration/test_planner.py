"""Plans: the project's own files are understood, and what is not understood is refused where it stands."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streaming.accumulator.configuration.config import Element, parse_file
from streaming.accumulator.configuration.plan import ForwardSource, KafkaOutput, NullOutput, Plan, TailSource
from streaming.accumulator.configuration.planner import load_plan
from streaming.accumulator.delivery.routes import Router
from streaming.errors import ConfigError
from streaming.settings import CHECKOUT

TAIL = "<source>\n  @type tail\n  path /a.log\n  tag t\n  <parse>\n    @type none\n  </parse>\n</source>\n"
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
        ("<source>\n  @type forward\n  <security>\n  </security>\n</source>\n", 3, "self_hostname: is required"),
        ("<sauce>\n</sauce>\n", 1, "Did you mean source?"),
        ("<match {a, b}>\n" + KAFKA + "</match>\n", 1, "no blanks within braces"),
        ("<match **>\n  @type kafka2\n  default_topic x\n</match>\n", 1, "brokers: is required"),
        ("<match **>\n" + KAFKA + "  <buffer>\n  flush_interval 200ms\n  </buffer>\n</match>\n", 6, r"write 0\.2$"),
        ("<match **>\n" + KAFKA + "  <buffer>\n  @type memory\n  </buffer>\n</match>\n", 6, "'memory' is not supp"),
        ("<match **>\n" + KAFKA + "  required_acks 1\n</match>\n", 5, "'1' is not supported"),
        ("<match **>\n  @type copy\n</match>\n", 1, "no <store>"),
        ("<filter **>\n  @type grep\n</filter>\n", 1, "neither <regexp> nor <exclude>"),
        ("<label LOGS>\n</label>\n", 1, "begins with @"),
        ("<label>\n</label>\n", 1, "begins with @"),
        ("<label @ROOT>\n</label>\n", 1, "top level and no label"),
        ("<label @A>\n</label>\n", 1, "no <match> in <label @A>"),
        (
            "<match **>\n" + KAFKA.replace("logs", "${tag}") + "</match>\n",
            4,
            "default_topic: placeholders need chunk keys",
        ),
        ("<match **>\n" + KAFKA + "  topic x\n</match>\n", 4, "no effect beside topic"),
        ("<match **>\n" + KAFKA + "  <buffer time>\n  </buffer>\n</match>\n", 5, "chunk keys 'time'"),
        ("<match **>\n" + KAFKA + "  <buffer>\n  total_limit_size 0\n  </buffer>\n</match>\n", 6, "size of 0"),
        ("<match **>\n" + KAFKA + "  <format x>\n  @type json\n  </format>\n</match>\n", 5, "takes no argument: 'x'"),
        (
            "<match **>\n"
            + KAFKA
            + "  <secondary>\n  @type secondary_file\n  directory a/%Y\n  </secondary>\n</match>\n",
            7,
            "placeholders are not supported",
        ),
        (
            "<match **>\n  @type copy\n  <store ignore_error>\n    @type null\n  </store>\n</match>\n",
            3,
            "'ignore_error' is not supported",
        ),
        ("<source x>\n  @type forward\n</source>\n", 1, "takes no argument: 'x'"),
        ("<source>\n  @type forward\n  @log_level loud\n</source>\n", 3, "'loud' is not supported"),
        ("<source>\n  @type forward\n  chunk_size_limit 0\n</source>\n", 3, "size of 0"),
        (TAIL.replace("/a.log", "/%Y.log"), 3, "times in a path"),
        (TAIL.replace("tag t", "tag *.*"), 4, r"more than one \*"),
        (TAIL.replace("tag t", "tag t\n  follow_inodes true"), 1, "pos_file: is required"),
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
        plan_of(tmp_path, SOURCE + kafka + relabel.format("@LOG") + f"<label @LOGS>\n{kafka}</label>\n")
    circle = f"<label @A>\n{relabel.format('@B')}</label>\n<label @B>\n{relabel.format('@A')}</label>\n"
    with pytest.raises(ConfigError, match="@A -> @B -> @A"):
        plan_of(tmp_path, SOURCE + kafka + circle)


def test_the_top_level_is_a_label_too(tmp_path: Path) -> None:
    up = "<label @A>\n<match a>\n  @type relabel\n  @label @ROOT\n</match>\n</label>\n"
    text = SOURCE.replace("forward", "forward\n  @label @A") + up + "<match>\n" + KAFKA + "</match>\n"
    router = Router(plan_of(tmp_path, text))
    (output,) = router.routes("@A", "a").outputs({})
    assert isinstance(output, KafkaOutput)
    assert not router.routes("@A", "b").matched
    root = plan_of(tmp_path, text.replace("@label @A\n", "@label @ROOT\n", 1))
    assert root.sources[0].label is None
    down = "<match b>\n  @type relabel\n  @label @A\n</match>\n"
    with pytest.raises(ConfigError, match="labels in a circle: @ROOT -> @A -> @ROOT"):
        plan_of(tmp_path, down + text)


def test_a_label_given_twice_is_refused(tmp_path: Path) -> None:
    label = "<label @A>\n<match>\n" + KAFKA + "</match>\n</label>\n"
    with pytest.raises(ConfigError, match="a second <label @A>"):
        plan_of(tmp_path, SOURCE + label + label)


@pytest.mark.parametrize(("first", "second", "fits"), [("::", "1.1.1.1", False), ("1.1.1.1", "1.1.1.2", True)])
def test_two_sources_on_one_port_are_refused(tmp_path: Path, first: str, second: str, *, fits: bool) -> None:
    both = "".join(f"<source>\n  @type forward\n  bind {bind}\n</source>\n" for bind in (first, second))
    text = both + "<match>\n" + KAFKA + "</match>\n"
    if fits:
        assert len(plan_of(tmp_path, text).sources) == 2
        return
    with pytest.raises(
        ConfigError, match=r"test\.conf:5: port: port 24224 \(tcp, udp\) is taken by the <source> in test\.conf:1"
    ):
        plan_of(tmp_path, text)


@pytest.mark.parametrize("name", ["@id x", "pos_file x"])
def test_what_may_be_given_once_in_a_configuration(tmp_path: Path, name: str) -> None:
    tail = TAIL.replace("tag t", f"tag t\n  {name}")
    with pytest.raises(ConfigError, match=r"'x' is given twice, first in test\.conf:5"):
        plan_of(tmp_path, tail + tail + "<match>\n" + KAFKA + "</match>\n")


@pytest.mark.parametrize("codecs", [("gzip", "lz4"), ("gzip", None), (None, "zstd")])
def test_outputs_that_need_different_producers_are_refused(tmp_path: Path, codecs: tuple[str | None, ...]) -> None:
    text = SOURCE
    for codec in codecs:
        text += f"<match {codec}>\n" + KAFKA + (f"  compression_codec {codec}\n" if codec else "") + "</match>\n"
    with pytest.raises(ConfigError, match=r"compression_codec: .* differs from .* of the output in test\.conf:4"):
        plan_of(tmp_path, text)


WORDS = st.sampled_from(
    """@type @id @label @ROOT @A forward tail kafka2 rdkafka2 copy relabel grep null stdout brokers default_topic topic
    path tag key pattern port bind k:1 logs * ** a.** /a/ {a,b} ${tag} %Y 0 -1 5m 1h30m true no json none time_key
    _unused compression_codec gzip http syslog vigil_otlp tls parser record_transformer vigil_redact file regexp
    multiline expression format1 /(?<a>.)/ time_format %Y-%z timezone +09:00 types a:integer key_name renew_time_key
    remove_keys $.a.b ${record["a"]} network host shared_key self_hostname users type card fields overflow_action
    timekey append message""".split()  # noqa: SIM905
)
SECTIONS = st.sampled_from(
    """source match filter label store buffer format parse regexp exclude secondary system transport
    security user client rule record and or worker""".split()  # noqa: SIM905
)


def _section(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda name, argument, body: f"<{name} {argument}>\n{''.join(body)}</{name}>\n",
        SECTIONS,
        st.one_of(st.just(""), WORDS),
        st.lists(st.one_of(inner, st.builds(lambda a, b: f"{a} {b}\n", WORDS, WORDS)), max_size=6),
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.recursive(_section(st.just("@type copy\n")), _section, max_leaves=6), max_size=4).map("".join))
def test_no_configuration_raises_anything_but_a_config_error(tmp_path: Path, text: str) -> None:
    with contextlib.suppress(ConfigError):
        plan_of(tmp_path, text)


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


def test_the_one_worker_may_be_named(tmp_path: Path) -> None:
    match = "<match **>\n" + KAFKA + "</match>\n"
    plan = plan_of(tmp_path, f"<worker 0>\n{SOURCE}</worker>\n{match}")
    assert len(plan.sources) == 1
    with pytest.raises(ConfigError, match=r"test\.conf:1: <worker>: there is one worker, 0, and no '1'"):
        plan_of(tmp_path, f"<worker 1>\n{SOURCE}</worker>\n{match}")
    with pytest.raises(ConfigError, match="<system> cannot stand in <worker>"):
        plan_of(tmp_path, f"<worker 0>\n<system>\n</system>\n</worker>\n{SOURCE}{match}")


def test_redaction_is_an_example_that_no_file_of_the_project_includes(tmp_path: Path) -> None:
    folder = CHECKOUT / "fluentd"
    for number in (1, 2, 3):
        assert load_plan(folder / f"fluent{number}.conf", {}).redactions == ()
    text = f"{SOURCE}@include {folder}/common/redaction.conf\n@include {folder}/common/routes.conf\n"
    (redaction,) = plan_of(tmp_path, text).redactions
    assert [rule.kind for rule in redaction.rules] == ["card", "email", "bearer", "url_password", "pattern"]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_projects_files_hold_nothing_that_a_real_fluentd_does_not_know(number: int) -> None:
    def kinds(element: Element) -> set[str]:
        own = {element.parameters["@type"].value} if "@type" in element.parameters else set()
        return own.union(*(kinds(inner) for inner in element.elements))

    found = kinds(parse_file(CHECKOUT / "fluentd" / f"fluent{number}.conf", {}))
    assert found <= {"forward", "tail", "json", "grep", "copy", "relabel", "stdout", "kafka2", "file", "secondary_file"}
