"""CSV tables that a spreadsheet can open without running anything."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ercpseg.errors import DocumentError, StorageError
from ercpseg.storage.atomic import write_chunks

CHUNK = 65536
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV, atomically; see :func:`encode_table`. They are taken one by one, and not held together."""
    write_chunks(path, table_chunks(columns, rows))


def encode_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV. Text that a spreadsheet would run as a formula gets a leading quote."""
    return b"".join(table_chunks(columns, rows)).decode()


def table_chunks(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """:func:`encode_table` in pieces of some thousand characters, for tables that must not be held in memory."""
    buffer = io.StringIO()
    # Text with either line ending is quoted only where both belong to the terminator.
    writer = csv.writer(_UnixLines(buffer), lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row.get(column)) for column in columns])
        if buffer.tell() > CHUNK:
            yield buffer.getvalue().encode()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue().encode()


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV that :func:`write_table` wrote; every value is text, an absent one is empty.

    Raises
    ------
    StorageError
        when it cannot be read.
    DocumentError
        when it is no such table: no head, no UTF-8, or a row that is longer or shorter than the head.
    """
    return list(iter_table(path))


def iter_table(path: Path) -> Iterator[dict[str, str]]:
    """:func:`read_table` row by row, for tables that must not be held in memory."""
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            rows = csv.reader(handle, strict=True)
            head = next(rows)
            for row in rows:
                if row:
                    yield dict(zip(head, map(_text, row), strict=True))
    except OSError as error:
        raise StorageError(
            f"reading failed: {error.strerror or type(error).__name__}",
            where=path,
            todo="run the step that made it again",
        ) from error
    except (csv.Error, ValueError, StopIteration) as error:
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
