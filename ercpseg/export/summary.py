"""What became of the frames of one prediction, in numbers."""

from __future__ import annotations

import statistics
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PredictionSummary:
    """Counts of one prediction: used + refused + ignored = found.

    ``median_ms`` is over the used frames, None when there is none. ``shift`` tells what the frames have that the model's
    training frames had not, one sentence each. ``exports`` counts, by format of series, what was written and refused.
    """

    output: Path
    found: int
    used: int
    refused: int
    ignored: int
    median_ms: float | None
    shift: tuple[str, ...] = ()
    exports: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """The counts by name."""
        return {"found": self.found, "used": self.used, "refused": self.refused, "ignored": self.ignored}


def summarise(output: Path, rows: Iterable[Mapping[str, Any]]) -> PredictionSummary:
    """Count the rows of ``frames.csv``.

    >>> rows = [{"status": "used", "milliseconds": 3.0}, {"status": "refused"}]
    >>> summarise(Path("out"), rows).counts
    {'found': 2, 'used': 1, 'refused': 1, 'ignored': 0}
    """
    status, times = Counter[str](), array("d")
    for row in rows:
        status[row["status"]] += 1
        if row["status"] == "used" and row["milliseconds"] is not None:
            times.append(row["milliseconds"])
    return PredictionSummary(
        output=output,
        found=status.total(),
        used=status["used"],
        refused=status["refused"],
        ignored=status["ignored"],
        median_ms=statistics.median(times) if times else None,
    )


def count_exports(formats: Iterable[str], rows: Sequence[Mapping[str, Any]], used: int) -> dict[str, dict[str, int]]:
    """Count the rows of ``exports.csv`` by format. Formats of single frames have rows for what is missing of ``used`` frames.

    >>> rows = [{"format": "gif", "status": "written"}, {"format": "npz", "status": "refused"}]
    >>> count_exports(["gif"], rows, 5)
    {'gif': {'written': 1, 'refused': 0}, 'npz': {'written': 4, 'refused': 1}}
    """
    status = Counter((row["format"], row["status"]) for row in rows)
    counts = {name: {word: status[name, word] for word in ("written", "refused")} for name in formats}
    for name, word in status:
        if name not in counts:
            counts[name] = {"written": used - status[name, word], "refused": status[name, word]}
    return counts
