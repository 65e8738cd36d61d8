"""`vigil nodes audit` and `vigil pipeline audit`: what the DAGs of these audits do every few minutes, by hand."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streaming.audit.run import Result

GOOD, FINDINGS, CANNOT_TELL = 0, 1, 2
"""Exit codes, as those of `vigil verify`."""

AsJson = Annotated[bool, typer.Option("--json", help="the whole audit as one JSON object")]


def audit_nodes(as_json: AsJson = False) -> None:
    """Hold inventory, registry, beats, logs and incidents of the nodes against each other.

    Raises the incidents that are missing. Ends with 0 where all is well, 1 where something is wrong, 2 where part of
    it could not be told.

    Example: vigil nodes audit --json
    """
    from streaming.audit.run import audit_nodes as run
    from streaming.settings import load_settings

    _show(run(load_settings()), as_json)


def audit_pipeline(
    canaries: Annotated[int, typer.Option(min=1, max=100, help="how many logs and alerts are sent")] = 5,
    as_json: AsJson = False,
) -> None:
    """Prove that nothing was lost since the last proof, and measure how long a log and an alert take.

    Raises an incident of what is lost. Ends with 0 where all is well, 1 where something is wrong, 2 where part of it
    could not be told.

    Example: vigil pipeline audit --canaries 20
    """
    from streaming.audit.pipeline import audit_pipeline as run
    from streaming.settings import load_settings

    def say(words: str) -> None:
        if sys.stderr.isatty():
            print(f"{words} ...", file=sys.stderr)

    _show(run(load_settings(), canaries=canaries, say=say), as_json)


def _show(result: Result, as_json: bool) -> None:
    import msgspec

    from streaming.audit.findings import Verdict
    from streaming.audit.text import lines

    if as_json:
        print(msgspec.json.format(msgspec.json.encode(result.audit)).decode())
    else:
        print("\n".join(lines(result.audit)))
    if result.not_indexed:
        print(f"vigil: the document is at {result.file}; not yet indexed: {result.not_indexed}", file=sys.stderr)
    codes = {Verdict.GOOD: GOOD, Verdict.FINDINGS: FINDINGS, Verdict.CANNOT_TELL: CANNOT_TELL}
    raise typer.Exit(codes[result.audit.verdict])
