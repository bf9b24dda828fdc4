"""The rows of ``frames.csv`` while a run goes on: as little memory per frame as can be, for runs of a hundred thousand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

COLUMNS = ("frame", "source", "index", "status", "code", "reason", "milliseconds")


class Rows:
    """Appends mappings and gives them back in order; a tuple takes a third of what a dictionary does."""

    def __init__(self) -> None:
        self._cells: list[tuple[Any, ...]] = []

    def append(self, row: Mapping[str, Any]) -> None:
        """Take a row; a column that it lacks is None."""
        self._cells.append(tuple(row.get(column) for column in COLUMNS))

    def refuse(self, frames: Collection[str], code: str, reason: str) -> None:
        """Turn the rows of frames that were taken as used into refusals."""
        for number, row in enumerate(self if frames else ()):
            if row["status"] == "used" and row["frame"] in frames:
                row |= {"status": "refused", "code": code, "reason": reason, "milliseconds": None}
                self._cells[number] = tuple(row.values())

    def __len__(self) -> int:
        return len(self._cells)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for cells in self._cells:
            yield dict(zip(COLUMNS, cells, strict=True))
