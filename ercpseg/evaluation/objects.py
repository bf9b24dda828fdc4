"""Detection of objects: 8-connected components, matched one to one when their IoU is at least 0.5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ercpseg.geometry.components import label_components
from ercpseg.geometry.crop import require_same_shape
from ercpseg.structures import Mask

MIN_IOU = 0.5


@dataclass(frozen=True)
class ObjectCounts:
    """Objects of the reference, of the prediction, and matched pairs of them, in one frame or summed over many."""

    reference: int
    prediction: int
    matched: int

    @classmethod
    def compute(cls, *, reference: Mask, prediction: Mask, min_iou: float = MIN_IOU) -> Self:
        """Match the components of two masks (y, x) so that as many pairs as possible reach ``min_iou`` (0 < … ≤ 1).

        Why not the Hungarian method: the scores read only the number of pairs, which is what a maximum matching
        (Hopcroft and Karp 1973) finds. At 0.5 both find the same number, since two overlapping candidates are then
        exactly half each; below 0.5 the Hungarian method may give up a pair for a larger sum of IoU. It needs memory
        for all pairs, too, which a noisy mask of ten thousand specks makes 800 MB.

        Raises
        ------
        ValueError
            when they are not boolean (y, x) arrays of one shape.
        """
        require_same_shape(reference=reference, prediction=prediction)
        reference_labels, n_reference = label_components(reference)
        prediction_labels, n_prediction = label_components(prediction)
        matched = 0
        if n_reference and n_prediction:
            both = reference & prediction
            first, second = reference_labels[both].astype(np.int64) - 1, prediction_labels[both].astype(np.int64) - 1
            pairs, shared = np.unique(first * n_prediction + second, return_counts=True)
            rows, columns = np.divmod(pairs, n_prediction)
            areas_reference = np.bincount(reference_labels[reference] - 1, minlength=n_reference)
            areas_prediction = np.bincount(prediction_labels[prediction] - 1, minlength=n_prediction)
            # Compared without a division, so that an IoU of exactly 0.5 is never lost to rounding.
            good = shared >= min_iou * (areas_reference[rows] + areas_prediction[columns] - shared)
            matched = _maximum_matching(rows[good], columns[good], (n_reference, n_prediction))
        return cls(reference=n_reference, prediction=n_prediction, matched=matched)

    @property
    def true_positives(self) -> int:
        """Matched pairs."""
        return self.matched

    @property
    def false_positives(self) -> int:
        """Predicted objects without a partner."""
        return self.prediction - self.matched

    @property
    def false_negatives(self) -> int:
        """Objects of the reference without a partner."""
        return self.reference - self.matched

    @property
    def count_error(self) -> int:
        """Objects predicted minus objects in the reference."""
        return self.prediction - self.reference

    @property
    def f1(self) -> float | None:
        """2·TP / (2·TP + FP + FN), 0 to 1; None when there is no object on either side."""
        total = self.reference + self.prediction
        return 2 * self.matched / total if total else None


def _maximum_matching(rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]) -> int:
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import maximum_bipartite_matching

    if rows.size == 0:
        return 0
    graph = csr_matrix((np.ones(rows.size, np.int8), (rows, columns)), shape=shape)
    return int(np.count_nonzero(maximum_bipartite_matching(graph, perm_type="column") >= 0))
