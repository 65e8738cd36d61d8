"""Counts of shapes joined with the map of templates."""

from __future__ import annotations

from streaming.templates.messages import Placed, Summary
from streaming.templates.reading import Map, ShapeCount, join

A, B, C, D = (f"{number:016x}" for number in range(4))


def known(*placed: Placed) -> Map:
    return Map({p.fingerprint: p for p in placed}, {A: "order 7 paid by eve"}, Summary(1, 3, 2, 0))


def test_shapes_of_one_template_are_one_line() -> None:
    found = join(
        [
            ShapeCount(A, 5, {"INFO": 5}, {"order": 5}, 100, 300),
            ShapeCount(C, 6, {"WARN": 6}, {}, 10, 20),
            ShapeCount(B, 2, {"ERROR": 2}, {"order": 1, "payment": 1}, 50, 200),
        ],
        known(
            Placed(A, "t1", "order <*> paid by <*>", 90, 1),
            Placed(B, "t1", "order <*> paid by <*>", 40, 1),
            Placed(C, "t2", "disk full", 5, 1),
            Placed(D, "t1", "order <*> paid by <*>", 30, 1),
        ),
    )
    assert [(t.template, t.text, t.count) for t in found] == [
        ("t1", "order <*> paid by <*>", 7),
        ("t2", "disk full", 6),
    ]
    order = found[0]
    assert (order.first_ms, order.last_ms, order.known_since_ms) == (50, 300, 30)
    assert order.levels == {"INFO": 5, "ERROR": 2}
    assert order.services == {"order": 6, "payment": 1}
    assert order.fingerprints == [A, B]
    assert order.example == "order 7 paid by eve"


def test_what_is_in_no_map_is_counted_together() -> None:
    found = join([ShapeCount(A, 5, {}, {}, 100, 300), ShapeCount(B, 1, {}, {}, 1, 2)], known())
    assert [(t.template, t.count, t.known_since_ms, t.first_ms) for t in found] == [("", 6, None, 1)]
