"""Every metric by sequence: the form of tables that print one figure per series (Gherardini 2020, Tables 4 and 5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ercpseg.documents.scores import FrameScore
from ercpseg.frames.groups import group_frames
from ercpseg.pipeline.compare_metrics import METRICS
from ercpseg.storage import tables

if TYPE_CHECKING:
    from ercpseg.documents.dataset import FrameRecord

COLUMNS = ("recipe", "sequence", "first_frame", "structure", "metric", "mean", "sd", "frames")
FALSE_POSITIVE = "fp_frac"
"""Pixels that are marked and should not be, as a share of the frame's."""
MEAN = "mean"
"""The sequence that stands for the mean over sequences, each counting once."""


def sequences_of(used: Sequence[FrameRecord]) -> dict[str, str]:
    """Frame → its sequence, ``T1`` and so on in the order of frame names over the whole dataset.

    A sequence is a series where one is known, else what groups are made of (the patient, or what stands for one). The names
    tell nothing of a patient, and are the same for every split of the same frames.
    """
    groups = group_frames(used)
    number: dict[tuple[str, str], int] = {}
    found = {}
    for record in sorted(used, key=lambda r: r.frame):
        key = ("series", record.series) if record.series else ("group", str(groups.of[record.frame]))
        found[record.frame] = f"T{number.setdefault(key, len(number)) + 1}"
    return found


def write_sequences(
    path: Path, scores: Mapping[str, Mapping[str, Sequence[FrameScore]]], used: Sequence[FrameRecord]
) -> list[dict[str, Any]]:
    """Recipe → structure → scores of held-out frames, over all trainings, as one row per recipe, sequence, structure and
    metric; returns the rows.
    """
    rows = list(sequence_rows(scores, used))
    tables.write_table(path, COLUMNS, rows)
    return rows


def sequence_rows(
    scores: Mapping[str, Mapping[str, Sequence[FrameScore]]], used: Sequence[FrameRecord]
) -> Iterator[dict[str, Any]]:
    """The rows: per structure and metric those of each sequence in which frames were held out, then their mean.

    Means and standard deviations (n in the denominator) are over the frames, and trainings, in which the metric is
    defined; those of the last row over sequences. ``frames`` counts the frames.
    """
    sequence = sequences_of(used)
    pixels = {r.frame: (r.height_px or 0) * (r.width_px or 0) for r in used}
    first: dict[str, str] = {}
    for frame in sorted(sequence):
        first.setdefault(sequence[frame], frame)
    for recipe, structures in scores.items():
        for structure, found in structures.items():
            held: dict[str, list[FrameScore]] = {}
            for row in sorted(found, key=lambda r: int(sequence[r.frame][1:])):
                held.setdefault(sequence[row.frame], []).append(row)
            for metric in (*METRICS, FALSE_POSITIVE):
                means, frames = [], 0
                for one, rows in held.items():
                    defined = [(row.frame, v) for row in rows if (v := _value(row, metric, pixels)) is not None]
                    values, count = np.array([v for _, v in defined]), len({frame for frame, _ in defined})
                    frames += count
                    means += [float(values.mean())] if defined else []
                    yield _row(recipe, one, first[one], structure, metric, values, count)
                yield _row(recipe, MEAN, "", structure, metric, np.array(means), frames)


def _value(row: FrameScore, metric: str, pixels: Mapping[str, int]) -> float | None:
    if metric != FALSE_POSITIVE:
        return getattr(row, metric)  # type: ignore[no-any-return]
    return (row.prediction_px - row.intersection_px) / pixels[row.frame] if pixels[row.frame] else None


def _row(
    recipe: str, sequence: str, first: str, structure: str, metric: str, values: Any, frames: int
) -> dict[str, Any]:
    return {
        "recipe": recipe,
        "sequence": sequence,
        "first_frame": first,
        "structure": structure,
        "metric": metric,
        "mean": round(float(values.mean()), 6) if len(values) else None,
        "sd": round(float(values.std()), 6) if len(values) else None,
        "frames": frames,
    }
