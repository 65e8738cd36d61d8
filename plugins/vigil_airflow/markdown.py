"""Text that strangers wrote, in Markdown that Airflow's pages show."""

from __future__ import annotations

from streaming.alerting.text import cut, printable


def code(text: str, limit: int = 500) -> str:
    """As a block of code, in which nothing is markup: a line of it never ends the block."""
    lines = (printable(line) for line in cut(text, limit).splitlines() or [""])
    return "\n".join(f"    {line}" for line in lines)


def word(text: str, limit: int = 100) -> str:
    """As a span of code within a sentence."""
    return f"`{printable(cut(text, limit)).replace('`', chr(39))}`"
