"""How the command line speaks: progress bars with an ETA, tables, one-line errors, exit codes."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from rich.console import Console
from rich.markup import escape

out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

SAY_EVERY_S = 10.0
"""Without a terminal a line replaces the bar, this often."""


class Warnings(logging.Handler):
    """Warnings of the library, a line each on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        err.print(escape(f"warning: {record.getMessage()}"))


WARNINGS = Warnings(logging.WARNING)


class ConsoleProgress:
    """Draws bars on a terminal, prints a line now and then elsewhere."""

    def task(self, description: str, total: int | None = None) -> Any:
        """A bar with percentage and ETA, or its plain substitute."""
        if err.is_terminal:
            return _Bar(description, total)
        return _Lines(description, total)

    def say(self, text: str) -> None:
        """One line."""
        err.print(escape(text))


class _Bar:
    def __init__(self, description: str, total: int | None):
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.bar = RichProgress(
            TextColumn("{task.description:28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=err,
        )
        self.id = self.bar.add_task(escape(description), total=total, note="")

    def advance(self, n: int = 1, note: str | None = None) -> None:
        if note is None:
            self.bar.update(self.id, advance=n)
        else:
            self.bar.update(self.id, advance=n, note=escape(note))

    def retotal(self, total: int) -> None:
        self.bar.update(self.id, total=total)

    def __enter__(self) -> _Bar:
        self.bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.bar.stop()


class _Lines:
    def __init__(self, description: str, total: int | None):
        self.description, self.total = description, total
        self.done = self.before = 0
        self.note = ""
        self.start = self.said = time.monotonic()

    def advance(self, n: int = 1, note: str | None = None) -> None:
        if n > 1 and self.done == 0:
            self.before = n  # what an earlier run did says nothing about this one's speed
        self.done += n
        self.note = note or self.note
        now = time.monotonic()
        if now - self.said >= SAY_EVERY_S:
            self.said = now
            self._say(now)

    def retotal(self, total: int) -> None:
        self.total = total

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *exc: object) -> None:
        now = time.monotonic()
        if exc[0] is None and now - self.start >= 2:
            err.print(escape(f"{self.description}: {self.done} done in {duration(now - self.start)}"))

    def _say(self, now: float) -> None:
        text = f"{self.description}: {self.done}"
        fresh = self.done - self.before
        if self.total:
            text += f"/{self.total}"
            if fresh:
                text += f", ETA {duration((now - self.start) / fresh * max(0, self.total - self.done))}"
        err.print(escape(f"{text}{', ' + self.note if self.note else ''}"))


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(75), duration(4.2), duration(7320)
    ('1 min 15 s', '4.2 s', '2 h 02 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def table(headings: list[str], rows: list[list[str]], *, title: str | None = None) -> None:
    """Print a table to standard output."""
    from rich import box
    from rich.table import Table

    grid = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for heading in headings:
        grid.add_column(escape(heading), overflow="fold")
    for row in rows:
        grid.add_row(*(escape(cell) for cell in row))
    width = out.width if out.is_terminal else 160
    Console(file=sys.stdout, width=max(width, 100), highlight=False).print(grid)


def say(text: str) -> None:
    """Print one line to standard output."""
    out.print(escape(text))


def fail(message: str) -> None:
    """Print an error to standard error, as one line whatever a file may be named."""
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in " ".join(message.split()))
    err.print(f"[bold red]error:[/] {escape(line)}")
