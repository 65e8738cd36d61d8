"""A section of a configuration, read parameter by parameter; what nobody asked for is refused in the end."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import TypeVar

from streaming.accumulator.configuration import values
from streaming.accumulator.configuration.config import Element, Place
from streaming.errors import ConfigError

T = TypeVar("T")


class Section:
    """Reads the parameters of an element and knows afterwards which were not asked for."""

    def __init__(self, element: Element) -> None:
        self._element = element
        self._asked_parameters: dict[str, None] = {}
        self._asked_elements: dict[str, None] = {}
        self._asked_argument = False
        self.name, self.place = element.name, element.place
        self.order = [(e.name, Section(e)) for e in element.elements]

    @property
    def argument(self) -> str:
        """What stands behind the section's name."""
        self._asked_argument = True
        return self._element.argument

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """A parameter's value, or None where it is not given."""
        self._asked_parameters[name] = None
        given = self._element.parameters.get(name)
        if given is None:
            return None
        try:
            return read(given.value)
        except ValueError as error:
            raise given.place.error(str(error), name=name) from error

    def either(self, name: str, alias: str, read: Callable[[str], T]) -> T | None:
        """A parameter that has two names, of which one may be given."""
        found, other = self.optional(name, read), self.optional(alias, read)
        if found is not None and other is not None:
            raise self.place_of(alias).error(f"is the same as {name}, which is given too", name=alias)
        return other if found is None else found

    def get(self, name: str, read: Callable[[str], T], default: T) -> T:
        """A parameter's value, or the default."""
        found = self.optional(name, read)
        return default if found is None else found

    def required(self, name: str, read: Callable[[str], T]) -> T:
        """A parameter that must be there."""
        found = self.optional(name, read)
        if found is None:
            raise self.error("is required", field=name)
        return found

    def every(self, read: Callable[[str], T]) -> dict[str, T]:
        """All parameters, of whatever name."""
        found: dict[str, T] = {}
        for name, given in self._element.parameters.items():
            self._asked_parameters[name] = None
            try:
                found[name] = read(given.value)
            except ValueError as error:
                raise given.place.error(str(error), name=name) from error
        return found

    def place_of(self, name: str) -> Place:
        """Where a parameter stands; where it is not given, the section."""
        given = self._element.parameters.get(name)
        return given.place if given else self.place

    def checked_only(self, **readers: Callable[[str], object]) -> None:
        """Parameters whose values must be right for Fluentd and change nothing here."""
        for name, read in readers.items():
            self.optional(f"@{name[3:]}" if name.startswith("at_") else name, read)

    def children(self, name: str) -> list[Section]:
        """Nested sections of a name, in order."""
        self._asked_elements[name] = None
        return [section for child, section in self.order if child == name]

    def child(self, name: str) -> Section | None:
        """The one nested section of a name, if there is one."""
        found = self.children(name)
        if len(found) > 1:
            raise found[1].error(f"a second <{name}>")
        return found[0] if found else None

    def done(self) -> None:
        """Refuses what nobody asked for."""
        if self._element.argument and not self._asked_argument:
            raise self.error(f"takes no argument: {self._element.argument!r}")
        for name, given in self._element.parameters.items():
            if name not in self._asked_parameters:
                raise given.place.error("unknown parameter", name=name, remedy=nearest(name, self._asked_parameters))
        for name, section in self.order:
            if name not in self._asked_elements:
                raise section.error(f"<{name}> is unknown here", remedy=nearest(name, self._asked_elements))

    def error(self, reason: str, *, field: str | None = None, remedy: str | None = None) -> ConfigError:
        """An error about this section."""
        return self.place.error(reason, name=field or (f"<{self.name}>" if self.name else None), remedy=remedy)


def nearest(word: str, known: Mapping[str, object]) -> str:
    """A remedy: the known word that a word resembles, or all of them."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]}?" if close else f"Known here: {', '.join(known) or 'none'}"


def typed(section: Section, kinds: Mapping[str, Callable[[Section], T]]) -> T:
    """Reads a section by what is known of its `@type`."""
    kind = section.required("@type", values.text)
    make = kinds.get(kind)
    if make is None:
        raise section.place_of("@type").error(f"{kind!r} is not supported", name="@type", remedy=nearest(kind, kinds))
    section.checked_only(at_id=values.text, at_log_level=values.log_level)
    made = make(section)
    section.done()
    return made
