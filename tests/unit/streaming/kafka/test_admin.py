from __future__ import annotations

from streaming.kafka.admin import Drift, Repair, TopicReport, config_changes, desired_config, differences, report_lines
from streaming.kafka.topics import Topic

TOPIC = Topic("logs", 6, "for tests", {"cleanup.policy": "delete", "retention.ms": "1000"})


def test_one_copy_needs_no_second_to_be_written() -> None:
    assert desired_config(TOPIC, 1) == TOPIC.config


def test_of_three_copies_two_must_be_written() -> None:
    assert desired_config(TOPIC, 3) == TOPIC.config | {"min.insync.replicas": "2"}


def test_only_declared_settings_that_differ_are_changed() -> None:
    found = {"cleanup.policy": "delete", "retention.ms": "7", "segment.ms": "5"}
    assert config_changes(TOPIC.config, found) == {"retention.ms": "1000"}
    assert config_changes(TOPIC.config, {}) == TOPIC.config
    assert config_changes(TOPIC.config, dict(TOPIC.config)) == {}


def test_partitions_and_copies_are_reported_never_changed() -> None:
    assert differences(TOPIC, 6, 3, 3) == []
    assert "keys would move" in differences(TOPIC, 3, 1, 1)[0]
    assert "cannot take any away" in differences(TOPIC, 9, 1, 1)[0]
    assert "1 of 3 possible copies" in differences(TOPIC, 6, 1, 3)[0]


def test_the_report_says_each_finding_in_a_line() -> None:
    report = TopicReport(("a",), (Repair("b", "retention.ms", "7", "1000"),), (Drift("c", "has 3 partitions"),), ("d",))
    assert report_lines(report) == [
        "created   a",
        "repaired  b: retention.ms was 7, is 1000",
        "differs   c: has 3 partitions",
        "as it is  d",
    ]
