"""The report as a file."""

from __future__ import annotations

from pathlib import Path

from ercpseg.reporting.content import ReportContent
from ercpseg.reporting.pages import render_report
from ercpseg.storage.atomic import write_text


def write_report(path: Path, content: ReportContent) -> None:
    """Write the page to ``path``, atomically.

    Raises
    ------
    StorageError
        when it cannot be written; ``path`` then holds what it held.
    """
    write_text(path, render_report(content))
