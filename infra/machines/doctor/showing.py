"""Shows a diagnosis to a person, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

from infra.machines.doctor.findings import Diagnosis, Finding, Link, Verdict

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {Verdict.OK: "green", Verdict.NOTE: "yellow", Verdict.FAILED: "bold red", Verdict.NOT_ASKED: "dim"}
_MANY = {
    Link.UNIT: "run",
    Link.PORT: "are open to those who ask",
    Link.TLS: "certificates are good",
    Link.LAG: "workers keep up",
}


def show(diagnosis: Diagnosis, console: Console) -> None:
    """The table, and below it the sentence with which to begin."""
    from rich.table import Table
    from rich.text import Text

    table = Table("machine", "link", "result", "", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    last = None
    for group in runs(rows(diagnosis)):
        row = group[0]
        machine = row.machine or "platform"
        what = f"{row.link} to {group[-1].link}" if len(group) > 1 else f"{row.link} {row.about}".strip()
        table.add_row(
            Text("" if machine == last else machine, "bold"),
            Text(_plain(what)),
            Text(row.verdict.value, STYLES[row.verdict]),
            Text(_plain(row.text)),
        )
        last = machine
    console.print(table)
    console.print()
    if diagnosis.first_broken is None:
        console.print(Text("Every link works.", "green"))
    else:
        console.print(Text("First broken link: ", "bold red") + Text(_plain(diagnosis.first_broken.sentence)))


def rows(diagnosis: Diagnosis) -> Iterator[Finding]:
    """The findings, but that those of one kind that are well, or were not asked for one reason, are one."""

    def alike(one: Finding) -> tuple[str, Link, Verdict, str]:
        return one.machine, one.link, one.verdict, one.text if one.verdict is not Verdict.OK else ""

    order = {verdict: place for place, verdict in enumerate((Verdict.FAILED, Verdict.NOTE, Verdict.OK))}
    by_link = sorted(
        enumerate(diagnosis.findings),
        # What is broken stands before what is well, within a link; links keep their order.
        key=lambda item: (_first_of(diagnosis, item[1]), order.get(item[1].verdict, 3), alike(item[1])[3], item[0]),
    )
    for (machine, link, verdict, text), group in groupby((one for _, one in by_link), alike):
        members = list(group)
        if len(members) == 1 or verdict in (Verdict.FAILED, Verdict.NOTE):
            yield from members
        elif verdict is Verdict.OK:
            yield Finding(machine, link, verdict, f"{len(members)} {_MANY.get(link, 'are well')}")
        else:
            yield Finding(machine, link, verdict, text)


def runs(found: Iterable[Finding]) -> Iterator[list[Finding]]:
    """Each alone, but that those which follow each other and were not asked for one reason stand together."""

    def alike(item: tuple[int, Finding]) -> tuple[object, ...]:
        place, one = item
        return (one.machine, one.text) if one.verdict is Verdict.NOT_ASKED else (place,)

    for _, group in groupby(enumerate(found), alike):
        yield [one for _, one in group]


def _first_of(diagnosis: Diagnosis, finding: Finding) -> int:
    """Where the findings of its machine and link begin."""
    return next(
        place
        for place, one in enumerate(diagnosis.findings)
        if (one.machine, one.link) == (finding.machine, finding.link)
    )


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
