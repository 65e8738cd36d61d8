"""Which shapes become one template and which stay apart, whatever their order."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.grouping import measure
from streaming.fingerprint.masking import mask
from streaming.templates.merging import merge
from tests.support.synthetic_logs import NAMES, messages


def templates(*shapes: str) -> list[str]:
    return sorted(set(merge(shapes).values()))


@pytest.mark.parametrize(
    ("shapes", "template"),
    [
        (
            ["session of user eve opened", "session of user bob opened", "session of user dan opened"],
            "session of user <*> opened",
        ),
        (["user eve, guest, gone", "user bob, guest, gone", "user <*>, guest, gone"], "user <*>, guest, gone"),
        (["Launching task_<*> now please", "Launching attempt_<*> now please"], "Launching <*> now please"),
        ([f"login failed (user={name})" for name in NAMES[:4]], "login failed (user=<*>)"),
        ([f"Greeting {name} at the door" for name in NAMES[:6]], "Greeting <*> at the door"),
        (
            [f"class {a}.Event goes to class {b}.Handler always" for a, b in zip(NAMES, reversed(NAMES), strict=True)],
            "class <*> goes to class <*> always",
        ),
    ],
)
def test_values_are_found_by_their_place(shapes: list[str], template: str) -> None:
    assert templates(*shapes) == [template]


@pytest.mark.parametrize(
    "shapes",
    [
        ["VM Started now <*>", "VM Paused now <*>", "VM Resumed now <*>", "VM Stopped now <*>"],
        ["<*> changed from NEW to RUNNING", "<*> changed from NEW to FAILED", "<*> changed from NEW to DONE"],
        ["node <*> state=UP", "node <*> state=DOWN", "node <*> state=UNKNOWN"],
        ['"GET <*>" took <*>', '"POST <*>" took <*>', '"DELETE <*>" took <*>'],
        ["started", "stopped", "failed", "reloaded", "paused", "resumed", "killed"],
        [f"{verb} of the service" for verb in ("Start", "Stop", "Restart", "Reload", "Kill", "Pause", "Resume")],
        ["session opened for user", "session closed for user"],
        ["user= host=<*>", "user=root host=<*> more"],
    ],
)
def test_what_says_something_else_stays_apart(shapes: list[str]) -> None:
    assert templates(*shapes) == sorted(shapes)


def test_a_template_covers_what_came_but_once() -> None:
    often = [f"order of {a} sent to {b} by mail" for a in NAMES[:9] for b in NAMES[9:18] if len(a + b) % 3]
    assert templates(*often, "order of xavier sent to yves by mail") == ["order of <*> sent to <*> by mail"]


WORDS = st.sampled_from(
    ["<*>", "user", "eve", "bob", "dan", "of", "from", "UP", "a=b", "a=c", "a=", "(x)", "x.", "task_<*>"]
)
SHAPES = st.lists(st.lists(WORDS, min_size=1, max_size=6).map(" ".join), min_size=1, max_size=60)


@settings(max_examples=80)
@given(SHAPES, st.randoms(use_true_random=False))
def test_order_does_not_matter(shapes: list[str], rnd: random.Random) -> None:
    merged = merge(shapes)
    shuffled = shapes * 2
    rnd.shuffle(shuffled)
    assert merge(shuffled) == merged
    assert set(merged) == set(shapes)
    for shape, template in merged.items():
        assert len(template.split(" ")) == len(shape.split(" ")), "a template has the words of its shapes"


@settings(max_examples=60)
@given(st.lists(st.text(max_size=60), max_size=20))
def test_any_text_is_taken(texts: list[str]) -> None:
    shapes = [mask(text) for text in texts]
    assert set(merge(shapes)) == set(shapes)


@pytest.mark.parametrize("seed", range(4))
def test_made_up_systems(seed: int) -> None:
    made = messages(2_000, seed)
    found = measure("made up", [text for text, _ in made], [statement for _, statement in made])
    assert found.accuracy >= 0.97
    assert found.fingerprints > 5 * found.true_templates, "so the merging had work to do"


@pytest.mark.parametrize("kind", ["nothing alike", "few words", "long"])
def test_the_work_is_bounded(kind: str) -> None:
    rnd = random.Random(5)
    vocabulary = (
        ["<*>", "aa", "bb", "cc"] if kind == "few words" else [f"w{n:x}".translate(_LETTERS) for n in range(5_000)]
    )
    length = 80 if kind == "long" else 15
    shapes = {" ".join(rnd.choices(vocabulary, k=length)) for _ in range(600)}
    began = time.process_time()
    assert len(merge(shapes)) == len(shapes)
    assert time.process_time() - began < 8, "measured: 0.1 to 1 s"


_LETTERS = str.maketrans("0123456789", "ghijklmnop")
