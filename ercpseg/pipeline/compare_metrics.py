"""Every metric of every recipe, mean and spread over frames: the figures that published tables print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ercpseg.documents.scores import FrameScore
from ercpseg.storage import tables

METRICS = ("dice", "iou", "precision", "recall", "cldice", "hd_px", "hd95_px", "assd_px")
COLUMNS = ("recipe", "structure", "metric", "mean", "sd", "frames", "patients")


def write_metrics(path: Path, scores: Mapping[str, Mapping[str, Sequence[FrameScore]]]) -> list[dict[str, Any]]:
    """Recipe → structure → scores of held-out frames, over all trainings; one row per recipe, structure and metric.

    Returns the rows.
    """
    rows = list(metric_rows(scores))
    tables.write_table(path, COLUMNS, rows)
    return rows


def metric_rows(scores: Mapping[str, Mapping[str, Sequence[FrameScore]]]) -> Iterator[dict[str, Any]]:
    """The rows. ``sd`` is the standard deviation over frames (n in the denominator), as papers print it; frames in which a
    metric is undefined take no part, and a metric that is nowhere defined has no mean.
    """
    for recipe, structures in scores.items():
        for structure, rows in structures.items():
            for metric in METRICS:
                defined = [(row, value) for row in rows if (value := getattr(row, metric)) is not None]
                values = np.array([value for _, value in defined], np.float64)
                yield {
                    "recipe": recipe,
                    "structure": structure,
                    "metric": metric,
                    "mean": round(float(values.mean()), 6) if len(values) else None,
                    "sd": round(float(values.std()), 6) if len(values) else None,
                    "frames": len({row.frame for row, _ in defined}),
                    "patients": len({row.patient for row, _ in defined}),
                }
