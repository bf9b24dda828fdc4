"""Overlap of two masks: Dice, IoU, precision, recall, from three pixel counts.

All give None when the reference is empty and 0 when only the prediction is (:mod:`ercpseg.evaluation.empty`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from ercpseg.evaluation.empty import MISSED
from ercpseg.geometry.crop import require_same_shape
from ercpseg.structures import Mask


@dataclass(frozen=True)
class PixelCounts:
    """Pixels of the reference, of the prediction, and of both."""

    reference_px: int
    prediction_px: int
    intersection_px: int

    @classmethod
    def compute(cls, *, reference: Mask, prediction: Mask) -> Self:
        """Count two masks (y, x).

        Raises
        ------
        ValueError
            when they are not boolean (y, x) arrays of one shape.
        """
        require_same_shape(reference=reference, prediction=prediction)
        return cls(
            reference_px=int(np.count_nonzero(reference)),
            prediction_px=int(np.count_nonzero(prediction)),
            intersection_px=int(np.count_nonzero(reference & prediction)),
        )

    @property
    def dice(self) -> float | None:
        """2·|R ∩ P| / (|R| + |P|)."""
        if self.reference_px == 0:
            return None
        return 2 * self.intersection_px / (self.reference_px + self.prediction_px)

    @property
    def iou(self) -> float | None:
        """|R ∩ P| / |R ∪ P|."""
        if self.reference_px == 0:
            return None
        return self.intersection_px / (self.reference_px + self.prediction_px - self.intersection_px)

    @property
    def precision(self) -> float | None:
        """|R ∩ P| / |P|."""
        if self.reference_px == 0:
            return None
        return self.intersection_px / self.prediction_px if self.prediction_px else MISSED

    @property
    def recall(self) -> float | None:
        """|R ∩ P| / |R|."""
        if self.reference_px == 0:
            return None
        return self.intersection_px / self.reference_px


def dice(*, reference: Mask, prediction: Mask) -> float | None:
    """Dice coefficient of two masks (y, x): 2·|R ∩ P| / (|R| + |P|), 0 to 1 (Dice 1945)."""
    return PixelCounts.compute(reference=reference, prediction=prediction).dice


def iou(*, reference: Mask, prediction: Mask) -> float | None:
    """Intersection over union of two masks (y, x), 0 to 1 (Jaccard 1912)."""
    return PixelCounts.compute(reference=reference, prediction=prediction).iou


def precision(*, reference: Mask, prediction: Mask) -> float | None:
    """Share of the predicted pixels that are right, 0 to 1."""
    return PixelCounts.compute(reference=reference, prediction=prediction).precision


def recall(*, reference: Mask, prediction: Mask) -> float | None:
    """Share of the reference's pixels that were found, 0 to 1."""
    return PixelCounts.compute(reference=reference, prediction=prediction).recall
