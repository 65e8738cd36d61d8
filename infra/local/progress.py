"""What `vigil up` and `down` show while they work: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from infra.local.airflow_client import TaskState

STYLES = {"success": "green", "failed": "bold red", "upstream_failed": "red", "running": "yellow", "deferred": "yellow"}


class Progress:
    """Phases one after another, each with its time; within one, a changing note or the tasks of a deployment."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._title = ""
        self._note = ""
        self._began = 0.0
        self._tasks: Sequence[TaskState] = ()
        self._told: dict[str, str | None] = {}

    @contextmanager
    def phase(self, title: str) -> Iterator[None]:
        """Shows a phase while the block runs and leaves one line with its outcome and time."""
        self._title, self._note, self._began, self._tasks, self._told = title, "", time.monotonic(), (), {}
        done = False
        try:
            if self._console.is_terminal:
                with Live(console=self._console, get_renderable=self._render, refresh_per_second=8, transient=True):
                    yield
            else:
                yield
            done = True
        finally:
            seconds = time.monotonic() - self._began
            mark = "[green]✓[/]" if done else "[red]✗[/]"
            note = f"  [dim]{escape(self._note)}[/]" if self._note and self._console.is_terminal else ""
            self._console.print(f"{mark} {escape(title)}  [dim]{seconds:.1f} s[/]{note}", highlight=False)

    def note(self, text: str) -> None:
        """What happens within the phase now; a plain display prints each once."""
        if text != self._note and text and not self._console.is_terminal:
            self._console.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)
        self._note = text

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)

    def tasks(self, tasks: Sequence[TaskState]) -> None:
        """The tasks of a deployment as they are now; a plain display prints each change."""
        self._tasks = tasks
        if self._console.is_terminal:
            return
        for task in tasks:
            if task.state and task.state != self._told.get(task.name):
                seconds = elapsed(task)
                self._console.print(
                    f"  {task.name}: {task.state}{f' {seconds:.1f} s' if seconds is not None else ''}",
                    markup=False,
                    highlight=False,
                )
            self._told[task.name] = task.state

    def _render(self) -> RenderableType:
        seconds = time.monotonic() - self._began
        title = Text.assemble(self._title, (f"  {seconds:.0f} s", "dim"), (f"  {self._note}", "dim"))
        line = Spinner("dots", text=title)
        if not self._tasks:
            return line
        table = Table.grid(padding=(0, 2))
        for task in self._tasks:
            took = elapsed(task)
            table.add_row(
                "  " + task.name,
                Text(task.state or "waiting", style=STYLES.get(task.state or "", "dim")),
                "" if took is None else f"{took:.1f} s",
            )
        return Group(line, table)


def elapsed(task: TaskState) -> float | None:
    """Seconds that a task has taken, up to now where it still runs; None where it has not begun."""
    if task.seconds is not None:
        return task.seconds
    if task.started is None:
        return None
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(task.started.replace("Z", "+00:00"))).total_seconds())
