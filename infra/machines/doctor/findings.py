"""What the doctor says: findings, in the order in which links of the chain depend on each other. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Link(StrEnum):
    """Links of the chain, the outermost first."""

    VIRTUAL_MACHINE = "machine"
    FORWARD = "forward"
    SSH = "SSH"
    HOST_KEY = "host key"
    LOGIN = "login"
    ANSWER = "answer"
    FIRST_BOOT = "first boot"
    CLOCK = "clock"
    DISK = "disk"
    MEMORY = "memory"
    SOFTWARE = "software"
    UNIT = "unit"
    PORT = "port"
    FIREWALL = "firewall"
    TLS = "TLS"
    KAFKA = "Kafka"
    TOPICS = "topics"
    COPIES = "copies"
    ELASTICSEARCH = "Elasticsearch"
    HEALTH = "health"
    LAG = "lag"

    @property
    def depth(self) -> int:
        """How far from outside, from 0."""
        return list(Link).index(self)


class Verdict(StrEnum):
    """What was found of a link."""

    OK = "ok"
    NOTE = "note"
    """It works, and a person should know this."""
    FAILED = "failed"
    NOT_ASKED = "not asked"
    """An earlier link is broken, which the text names."""


class Finding(msgspec.Struct, frozen=True):
    """One link of one machine, or of the whole platform where `machine` is empty.

    `about` is the service or the port, where a link has several. `text` reads on from them; `remedy` is a sentence.
    """

    machine: str
    link: Link
    verdict: Verdict
    text: str
    about: str = ""
    remedy: str = ""

    @property
    def where(self) -> str:
        """`producer: unit indexer`."""
        return ": ".join(part for part in (self.machine, f"{self.link} {self.about}".strip()) if part)

    @property
    def sentence(self) -> str:
        """In one sentence, with the remedy."""
        whole = f"{self.where} {self.text}" + (f"; {self.remedy}" if self.remedy else "")
        return whole if whole.endswith((".", "?", "!")) else f"{whole}."


class Diagnosis(msgspec.Struct, frozen=True):
    """All findings; `first_broken` is the one to begin with, None where everything works."""

    deployment: str
    first_broken: Finding | None
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Nothing is broken."""
        return self.first_broken is None


def first_broken(findings: Sequence[Finding]) -> Finding | None:
    """The outermost one that failed; of several, the one that was found first."""
    failed = [one for one in findings if one.verdict is Verdict.FAILED]
    return min(failed, key=lambda one: one.link.depth, default=None)
