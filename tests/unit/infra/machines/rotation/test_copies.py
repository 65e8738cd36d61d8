"""Whether a broker may be away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import pytest
from confluent_kafka.admin import ClusterMetadata  # type: ignore[attr-defined]  # the package does not list its exports

from infra.machines.rotation.copies import missing


@dataclass
class Partition:
    replicas: list[int]
    isrs: list[int]


@dataclass
class Topic:
    partitions: dict[int, Partition]


@dataclass
class Cluster:
    brokers: dict[int, object]
    topics: dict[str, Topic] = field(default_factory=dict)


BOTH = {11: object(), 12: object()}
WHOLE, HALF = Partition([11, 12], [12, 11]), Partition([11, 12], [12])


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        (Cluster(BOTH, {"logs": Topic({0: WHOLE, 1: WHOLE})}), ""),
        (Cluster(BOTH), ""),
        (Cluster({12: object()}, {"logs": Topic({0: HALF})}), "1 of 2 brokers are there"),
        (Cluster(BOTH, {"logs": Topic({0: WHOLE, 1: HALF})}), "a broker has yet to catch up with logs 1"),
        (
            Cluster(BOTH, {"b": Topic(dict.fromkeys(range(9), HALF)), "a": Topic({0: HALF})}),
            "a broker has yet to catch up with a 0, b 0, b 1 and 7 more",
        ),
    ],
)
def test_what_is_missing_is_named(cluster: Cluster, said: str) -> None:
    assert missing(cast(ClusterMetadata, cluster), 2) == said
