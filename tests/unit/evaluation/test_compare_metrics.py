"""Means and spreads over frames, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ercpseg.evaluation.frame import score_frame
from ercpseg.pipeline.compare_metrics import METRICS, metric_rows


def test_mean_and_spread_over_the_frames_where_a_metric_is_defined() -> None:
    """Masks of 4 px of which the prediction hits 4, 2 and, in a frame without the structure, nothing."""
    reference = np.zeros((4, 8), bool)
    reference[1, 1:5] = True
    half = np.zeros_like(reference)
    half[1, 1:3] = True
    empty = np.zeros_like(reference)
    cases = [("a", "p", reference, reference), ("b", "p", reference, half), ("c", "q", empty, empty)]
    scores = [
        score_frame(reference=r, prediction=p, frame=frame, patient=patient, structure="wire")
        for frame, patient, r, p in cases
    ]
    rows = {row["metric"]: row for row in metric_rows({"auto": {"wire": scores}})}
    assert tuple(rows) == METRICS
    # Dice 1 and 2·2/(4 + 2) = 2/3, recall 1 and 1/2, precision 1 and 1; the frame without it is undefined.
    assert rows["dice"]["mean"] == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)
    assert rows["dice"]["sd"] == pytest.approx(1 / 6, abs=1e-6)
    assert (rows["recall"]["mean"], rows["recall"]["sd"]) == (0.75, 0.25)
    assert (rows["precision"]["mean"], rows["precision"]["sd"]) == (1.0, 0.0)
    assert (rows["iou"]["mean"], rows["iou"]["frames"], rows["iou"]["patients"]) == (0.75, 2, 1)
    nowhere = list(metric_rows({"auto": {"wire": scores[2:]}}))
    assert all(row["mean"] is None and row["frames"] == 0 for row in nowhere)
