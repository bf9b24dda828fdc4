"""Distances between the boundaries of two masks, computed once and read by every surface metric.

Implementations of the Hausdorff distance disagree by more than 100 mm on the same masks (Podobnik and Vrtovec), so
ours is named: Euclidean distances between the *centres of boundary pixels*, unweighted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ercpseg.geometry.crop import bounding_box, require_mask, require_same_shape
from ercpseg.structures import Mask


def surface_px(mask: Mask) -> Mask:
    """Boundary pixels of ``mask`` (y, x): set pixels with an unset 4-neighbour. Beyond the frame nothing is set.

    >>> int(surface_px(np.ones((3, 4), dtype=bool)).sum())
    10
    """
    require_mask(mask)
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


@dataclass(frozen=True)
class SurfaceDistances:
    """Distances in pixels from each boundary pixel of one mask to the nearest boundary pixel of the other.

    ``reference_to_prediction`` has one value per boundary pixel of the reference, ``prediction_to_reference`` one per
    boundary pixel of the prediction, each in row-major order.
    """

    reference_to_prediction: NDArray[np.float64]
    prediction_to_reference: NDArray[np.float64]

    @classmethod
    def compute(cls, *, reference: Mask, prediction: Mask) -> Self:
        """Measure both directions between two masks (y, x) of one shape, by exact Euclidean distances.

        Raises
        ------
        ValueError
            when the shapes differ, or a mask is empty: a distance to nothing has no value (the rule for empty masks
            is the caller's, ``ercpseg.evaluation.empty``).
        """
        require_same_shape(reference=reference, prediction=prediction)
        reference_surface, prediction_surface = _points(reference), _points(prediction)
        if not len(reference_surface) or not len(prediction_surface):
            raise ValueError("a mask is empty; distances need two masks with at least one pixel each")
        return cls(
            reference_to_prediction=_distance_to(prediction_surface, at=reference_surface),
            prediction_to_reference=_distance_to(reference_surface, at=prediction_surface),
        )


def _points(mask: Mask) -> NDArray[np.int64]:
    """Boundary pixels (n, 2) in row-major order, in frame coordinates."""
    box = bounding_box(mask)
    if box is None:
        return np.zeros((0, 2), np.int64)
    points: NDArray[np.int64] = np.argwhere(surface_px(mask[box])) + np.array([box[0].start, box[1].start])
    return points


def _distance_to(surface: NDArray[np.int64], *, at: NDArray[np.int64]) -> NDArray[np.float64]:
    """Distances from points (m, 2) to the nearest of the points (n, 2).

    A tree over the boundary gives the same numbers as a distance transform of the frame, to the last bit (both are
    square roots of whole numbers), in a quarter of the time on a 512 × 512 frame, and less on larger ones.
    """
    from scipy.spatial import cKDTree

    distances: NDArray[np.float64] = cKDTree(surface).query(at)[0]
    return distances
