"""The rows of ``frames.csv`` while a run goes on: as little memory per frame as can be, for runs of a hundred thousand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

COLUMNS = ("frame", "source", "index", "status", "code", "reason", "milliseconds")


class Rows:
    """Appends mappings and gives them back in order; a tuple takes a third of what a dictionary does."""

    def __init__(self) -> None:
        self._cells: list[tuple[Any, ...]] = []

    def append(self, row: Mapping[str, Any]) -> None:
        """Take a row; a column that it lacks is None."""
        self._cells.append(tuple(row.get(column) for column in COLUMNS))

    def __len__(self) -> int:
        return len(self._cells)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for cells in self._cells:
            yield dict(zip(COLUMNS, cells, strict=True))
