from __future__ import annotations

import json
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.events.fields import LABELS_DEPTH, LABELS_IGNORE_ABOVE, LABELS_KEY_CHARACTERS
from streaming.events.labels import put, safe
from streaming.events.model import Json

VALUES: st.SearchStrategy[Json] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=9) | st.sampled_from([".", "", " ", "a.b"]), inner, max_size=4),
    ),
    max_leaves=12,
)


def levels(value: Json) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(levels, inner), default=0)


def keys(value: Json) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from keys(item)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), VALUES, max_size=8))
def test_any_labels_become_safe(labels: dict[str, Json]) -> None:
    made = safe(labels)
    assert len(made) == len(labels) + sum(len(key) > LABELS_KEY_CHARACTERS for key in labels)
    assert levels(made) <= LABELS_DEPTH
    for key in keys(made):
        assert key.strip()
        assert "." not in key
        assert "\0" not in key
        assert len(key) <= LABELS_KEY_CHARACTERS
    json.dumps(made, allow_nan=False)


def test_what_is_safe_stays_as_it_is() -> None:
    labels: dict[str, Json] = {"a": 1, "b": [1.5, None, True, {"c": "d"}], "e": 2**64 - 1}
    assert safe(labels) == labels


def test_keys_that_would_become_one_stay_apart() -> None:
    made = safe({"a.b": 1, "a_b": 2, "": 3, " ": 4, "k" * 500: 5, "k" * 499 + "l": 6})
    assert sorted(str(value) for value in made.values() if isinstance(value, int)) == ["1", "2", "3", "4", "5", "6"]
    assert {value for name, value in made.items() if name.endswith("~key")} == {"k" * 500, "k" * 499 + "l"}
    assert len(made) == 8


def test_many_colliding_keys_cost_no_more_than_many_keys() -> None:
    labels: dict[str, Json] = {
        f"{number:017b}".replace("0", ".").replace("1", "_"): number for number in range(100_000)
    }
    assert len(safe(labels)) == 100_000


def test_what_lies_too_deep_is_json_text() -> None:
    deep: Json = {"end": ["x", 1]}
    for _ in range(LABELS_DEPTH * 2):
        deep = {"a": deep}
    assert isinstance(deep, dict)
    made = safe(deep)
    assert levels(made) == LABELS_DEPTH
    value: Json = made
    while isinstance(value, dict):
        value = value["a"]
    assert isinstance(value, str)
    assert '{"end": ["x", 1]}' in value


def test_numbers_that_json_readers_differ_about_become_text() -> None:
    assert safe({"a": 2**64, "b": -(2**63) - 1, "c": float("nan"), "d": float("inf")}) == {
        "a": "18446744073709551616",
        "b": "-9223372036854775809",
        "c": "nan",
        "d": "inf",
    }


def test_path_and_value_fit_one_term() -> None:
    assert LABELS_DEPTH * (LABELS_KEY_CHARACTERS * 4 + 1) + LABELS_IGNORE_ABOVE * 4 < 32_766


def test_put_keeps_both_values() -> None:
    labels: dict[str, Json] = {}
    for value in ("x", "y", "x", "z"):
        put(labels, "a", value)
    assert labels == {"a": "x", "a#2": "y", "a#3": "z"}
