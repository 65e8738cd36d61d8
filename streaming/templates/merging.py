"""Which shapes are one template: those that differ in words that are values. Pure.

Masking finds the values that show by their form; a user's name does not. Among the shapes of a system it shows by
its place: all words but one are alike, and there stand many words, or words that hold values elsewhere.

The result is a function of the set of shapes: the order in which they came, and in which they are given, is nothing
to it. More shapes make templates more general. Like Drain it compares only shapes of one number of words, and never
lets the first word vary by what stands there alone; unlike Drain it has no threshold of similarity, so that a long
message is not merged with its opposite.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from enum import IntEnum
from functools import lru_cache
from itertools import combinations, count
from typing import Final, TypeVar

from streaming.fingerprint.masking import MARK

MERGE_VERSION: Final = 1
"""Raise it with any change that gives other templates; the map is then made anew at the next start."""


class Least(IntEnum):
    """How many different words must stand in a place, all other words alike, to be values of a variable."""

    MARKED = 2
    """One is nothing but a masked value (`user eve`, `user <*>`), or each holds one (`task_<*>`, `attempt_<*>`)."""
    AFTER_PREPOSITION = 3
    """`for user X`, `from X`: a name and never a verb, but `to` a state as well."""
    OF_KEY = 4
    """`state=X` takes few values that must stay apart."""
    ANYWHERE = 6
    """`Lifecycle X`: verbs and states are few."""
    SEVERAL = 8
    """Shapes that differ in two places or more, and in each by as many words as it takes there."""


CAPITALS_WEIGH: Final = 4
"""Words in capitals (NEW, RUNNING, GET) are names of states and kinds: it takes so many times more of them."""

CONSTANTS_LEFT: Final = 2
"""Words that must stay in a template, so that `started` and `stopped` are not one template that says nothing."""

CONSTANTS_LEFT_OF_SEVERAL: Final = 3

PLACES: Final = 40
PLACES_OF_PAIRS: Final = 16
"""Words from the left whose places may vary, which bounds the work for one shape: 40 places and 105 pairs."""

COVERING_PLACES: Final = 64
"""Sets of places, in templates of one length, for which is asked whether a template covers a shape."""

ROUNDS: Final = 8
"""Each round lets at least one more place vary; what is still changing then is left as it is."""

_PREPOSITIONS: Final = frozenset("from to by for on at of in as with via into onto".split())  # noqa: SIM905
_VALUE: Final = "\0"
"""Stands for the mark inside a word, whose `<` and `>` are no punctuation."""

_PUNCTUATED: Final = re.compile(r"""([(\[{<"']*)(.*?)([)\]}>,;:.!?"']*)""", re.DOTALL)
_AFTER_KEY: Final = "=\1 "

Words = tuple[str, ...]


def merge(shapes: Iterable[str]) -> dict[str, str]:
    """Each masked text with the text of its template, which is the text itself where nothing is like it."""
    words = {shape: _split(shape) for shape in shapes}
    by_length: defaultdict[int, set[Words]] = defaultdict(set)
    for found in words.values():
        by_length[len(found)].add(found)
    merged: dict[Words, Words] = {}
    for group in by_length.values():
        merged.update(_merge_group(group))
    return {shape: _join(merged[found]) for shape, found in words.items()}


class Covering:
    """Some templates, asked whether one of them covers a shape: differs from it only where the template has values."""

    def __init__(self, templates: Iterable[str]) -> None:
        by_places: defaultdict[int, defaultdict[tuple[int, ...], dict[Words, str]]]
        by_places = defaultdict(lambda: defaultdict(dict))
        for template in sorted(templates):
            words = _split(template)
            by_places[len(words)][_places_of_values(words)][words] = template
        self._by_length = {length: _most_general_first(found) for length, found in by_places.items()}

    def template_of(self, shape: str) -> str | None:
        """The most general template that covers the shape; the least text of those that are as general."""
        words = _split(shape)
        for places, templates in self._by_length.get(len(words), ()):
            found = templates.get(_without(words, places))
            if found is not None:
                return found
        return None


T = TypeVar("T")


def _most_general_first(by_places: dict[tuple[int, ...], T]) -> list[tuple[tuple[int, ...], T]]:
    return sorted(by_places.items(), key=lambda item: (-len(item[0]), item[0]))[:COVERING_PLACES]


def _places_of_values(words: Words) -> tuple[int, ...]:
    """Where anything may stand; at `blk_<*>` only another block may."""
    return tuple(place for place, word in enumerate(words) if _VALUE in word and word == _as_value(word))


def _split(shape: str) -> Words:
    """Words; `key=value` is two, so that an empty value is a value too."""
    return tuple(shape.replace(MARK, _VALUE).replace("=", _AFTER_KEY).split(" "))


def _join(words: Words) -> str:
    return " ".join(words).replace(_AFTER_KEY, "=").replace(_VALUE, MARK)


def _merge_group(group: Collection[Words]) -> dict[Words, Words]:
    """Shapes of one number of words, each with its template."""
    now = {words: words for words in group}
    for _ in range(ROUNDS):
        distinct = set(now.values())
        if len(distinct) < 2:
            break
        varying = _single_places(distinct) or _several_places(distinct) or _covered(distinct)
        if not varying:
            break
        now = {words: _generalised(found, varying.get(found, {})) for words, found in now.items()}
    return now


Varying = dict[Words, dict[int, int]]
"""Of a shape: the places that vary, with how many words stand there."""


def _single_places(group: Collection[Words]) -> Varying:
    places = range(min(PLACES, _length(group)))
    shapes = _by_rare_places(group, Least.MARKED, most=1)
    return _varying(shapes, ((place,) for place in places), Least.MARKED, CONSTANTS_LEFT)


def _several_places(group: Collection[Words]) -> Varying:
    """Any two places, or more where their words are all rare; of shapes that begin alike.

    The first word is no value by itself.
    """
    begun_alike: defaultdict[str, list[Words]] = defaultdict(list)
    for words in group:
        begun_alike[words[0]].append(words)
    most = _length(group) // 2
    pairs = list(combinations(range(1, min(PLACES_OF_PAIRS, _length(group))), 2))
    varying: Varying = {}
    for alike in begun_alike.values():
        if len(alike) >= Least.SEVERAL:
            shapes = _by_rare_places(alike, Least.SEVERAL, most=max(2, most))
            many = [places for places in shapes if len(places) > 2]
            varying |= _varying(shapes, [*pairs, *many], Least.SEVERAL, CONSTANTS_LEFT_OF_SEVERAL)
    return varying


def _covered(group: Collection[Words]) -> Varying:
    """Shapes that a template covers, or another shape: they differ from it only where that has values."""
    by_places: defaultdict[tuple[int, ...], set[Words]] = defaultdict(set)
    for words in group:
        by_places[_places_of_values(words)].add(_without(words, _places_of_values(words)))
    varying: Varying = {}
    for places, templates in _most_general_first(by_places):
        for words in group:
            open_places = [place for place in places if words[place] != _as_value(words[place])]
            left = CONSTANTS_LEFT if len(open_places) == 1 else CONSTANTS_LEFT_OF_SEVERAL
            if not open_places or words in varying or _constants(words, places) < left:
                continue
            if _without(words, places) in templates:
                varying[words] = dict.fromkeys(open_places, Least.MARKED)
    return varying


def _without(words: Words, places: Collection[int]) -> Words:
    return tuple(_as_value(word) if place in places else word for place, word in enumerate(words))


def _length(group: Collection[Words]) -> int:
    return len(next(iter(group)))


ByRarePlaces = dict[tuple[int, ...], list[tuple[Words, int]]]


def _varying(shapes: ByRarePlaces, candidates: Iterable[tuple[int, ...]], least: int, constants_left: int) -> Varying:
    """What varies in which shape, if only one of the `candidates`, each some places, may at a time."""
    varying: defaultdict[Words, dict[int, int]] = defaultdict(dict)
    for places in candidates:
        alike: defaultdict[tuple[object, ...], list[Words]] = defaultdict(list)
        for rare in _subsets(places):
            for words, weight in shapes.get(rare, ()):
                rest = weight - sum(_weight(place, words[place]) for place in places)
                alike[rest, *(_edges(words[place]) for place in places)].append(words)
        for members in alike.values():
            if len(members) < least or _constants(members[0], places) < constants_left:
                continue
            counts = {place: _count_if_values(members, place) for place in places}
            if all(counts.values()):
                for words in members:
                    varying[words].update(counts)
    return varying


def _by_rare_places(group: Collection[Words], least: int, *, most: int) -> ByRarePlaces:
    """Shapes and their weights by the places whose word fewer than `least` shapes have there.

    A shape that is one of `least` which differ in some places alone has every other word in common with them, so its
    rare places are among those. Left out is what has more than `most`: of shapes that have nothing in common, all.
    """
    common: Counter[tuple[int, str]] = Counter()
    for words in group:
        common.update(enumerate(words))
    found: defaultdict[tuple[int, ...], list[tuple[Words, int]]] = defaultdict(list)
    for words in group:
        rare = tuple(place for place, word in enumerate(words) if common[place, word] < least)
        if len(rare) <= most:
            found[rare].append((words, sum(map(_weight, count(), words))))
    return found


def _subsets(places: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The rare places that a shape may have which varies in `places`; of more than two, those alone: it stays cheap."""
    match len(places):
        case 1:
            return [(), places]
        case 2:
            return [(), places[:1], places[1:], places]
        case _:
            return [places]


def _weight(place: int, word: str) -> int:
    """A shape less some words is known by its sum of weights less theirs."""
    return hash((place, word))


@lru_cache(maxsize=8_192)
def _edges(word: str) -> tuple[str, str]:
    """The punctuation around a word, which must be alike for words to be values of one place.

    Brackets that belong to the word are not around it: `(local)` is `local` between two, `f(x)` is one word.
    """
    found = _PUNCTUATED.fullmatch(word)
    assert found is not None, "its middle takes anything"
    before, core, after = found.groups()
    for opening, closing in ("()", "[]", "{}", "<>"):
        while after.startswith(closing) and core.count(opening) > core.count(closing):
            core, after = core + closing, after[1:]
    return before, after


def _core(word: str) -> str:
    before, after = _edges(word)
    return word[len(before) : len(word) - len(after)]


def _count_if_values(members: list[Words], place: int) -> int:
    """How many different words stand there, 0 if they are no values."""
    cores = {_core(words[place]) for words in members}
    if len(cores) < Least.MARKED:
        return 0
    if _VALUE in cores or all(_VALUE in core for core in cores):
        return len(cores)
    least = _least(members[0], place)
    if least is None:
        return 0
    capitals = sum(len(core) > 1 and core.isupper() for core in cores)
    needed = least * CAPITALS_WEIGH if 2 * capitals > len(cores) else least
    return len(cores) if len(cores) >= needed else 0


def _least(words: Words, place: int) -> Least | None:
    """By what stands before the place; None: what begins a message is what it says."""
    before = words[max(0, place - 3) : place]
    if not before:
        return None
    if before[-1].endswith(_AFTER_KEY[:-1]):
        return Least.OF_KEY
    for word in reversed(before):
        if word.lower() in _PREPOSITIONS:
            return Least.AFTER_PREPOSITION
        if not (word.isalpha() and word.islower()):
            break
    return Least.ANYWHERE


def _constants(words: Words, without: Collection[int]) -> int:
    return sum(1 for place, word in enumerate(words) if place not in without and _says_something(word))


def _says_something(word: str) -> bool:
    return _VALUE not in word and sum(map(str.isalpha, word)) >= 2


def _generalised(words: Words, varying: dict[int, int]) -> Words:
    if not varying:
        return words
    places: Collection[int] = varying
    if _constants(words, places) < CONSTANTS_LEFT:
        # Each place alone leaves enough: the one that varies most.
        places = [max(varying, key=lambda place: (varying[place], -place))]
    return tuple(_as_value(word) if place in places else word for place, word in enumerate(words))


def _as_value(word: str) -> str:
    before, after = _edges(word)
    return f"{before}{_VALUE}{after}"
