"""CSV tables that a spreadsheet can open without running anything."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ercpseg.errors import DocumentError
from ercpseg.storage.atomic import read_bytes, write_text

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV, atomically; see :func:`encode_table`."""
    write_text(path, encode_table(columns, rows))


def encode_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV. Text that a spreadsheet would run as a formula gets a leading quote."""
    buffer = io.StringIO()
    # Text with either line ending is quoted only where both belong to the terminator.
    writer = csv.writer(_UnixLines(buffer), lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
    return buffer.getvalue()


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV that :func:`write_table` wrote; every value is text, an absent one is empty.

    Raises
    ------
    StorageError
        when it cannot be read.
    DocumentError
        when it is no such table: no head, no UTF-8, or a row that is longer or shorter than the head.
    """
    data = read_bytes(path)
    try:
        head, *rows = csv.reader(io.StringIO(data.decode()), strict=True)
        return [dict(zip(head, map(_text, row), strict=True)) for row in rows if row]
    except (csv.Error, ValueError) as error:
        raise DocumentError("this table is damaged", where=path, todo="run the step that made it again") from error


class _UnixLines:
    def __init__(self, buffer: io.StringIO):
        self.buffer = buffer

    def write(self, line: str) -> None:
        self.buffer.write(line.removesuffix("\r\n") + "\n")


def _is_formula(text: str) -> bool:
    """Whether a spreadsheet would run it; text that begins with quotes counts, so that a quote in front can be told apart."""
    return text.lstrip("'").startswith(_FORMULA_STARTS)


def _text(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _is_formula(cell) else cell


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str) and _is_formula(value):
        return "'" + value
    if isinstance(value, float):
        return f"{value:.6g}"
    return value
