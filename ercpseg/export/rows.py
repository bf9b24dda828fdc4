"""The rows of ``frames.csv`` while a run goes on: packed, since they are the one thing that every frame leaves in memory."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

COLUMNS = ("frame", "source", "index", "status", "code", "reason", "milliseconds")
BLOCK = 128
"""Rows that are packed together. One alone takes 230 bytes with its texts and numbers, of these each takes 15."""
_LEVEL = 6


class Rows:
    """Appends mappings of texts, numbers and None, and gives them back in order."""

    def __init__(self) -> None:
        self._packed: list[bytes] = []
        self._last: list[tuple[Any, ...]] = []

    def append(self, row: Mapping[str, Any]) -> None:
        """Take a row; a column that it lacks is None."""
        self._last.append(tuple(row.get(column) for column in COLUMNS))
        if len(self._last) == BLOCK:
            columns = list(zip(*self._last, strict=True))  # equals beside equals pack best
            self._packed.append(zlib.compress(json.dumps(columns).encode(), _LEVEL))
            self._last = []

    def refuse(self, frames: Collection[str], code: str, reason: str) -> None:
        """Turn the rows of frames that were taken as used into refusals."""
        if not frames:
            return
        changed = Rows()
        for row in self:
            if row["status"] == "used" and row["frame"] in frames:
                row |= {"status": "refused", "code": code, "reason": reason, "milliseconds": None}
            changed.append(row)
        self._packed, self._last = changed._packed, changed._last

    def __len__(self) -> int:
        return BLOCK * len(self._packed) + len(self._last)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for packed in self._packed:
            for cells in zip(*json.loads(zlib.decompress(packed)), strict=True):
                yield dict(zip(COLUMNS, cells, strict=True))
        for cells in self._last:
            yield dict(zip(COLUMNS, cells, strict=True))
