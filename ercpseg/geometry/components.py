"""Connected components: 8-connected foreground, 4-connected background, everywhere.

The pair is the one that keeps topology consistent (a closed 8-connected curve separates a 4-connected background);
mixing it changes rankings of methods ("Pitfalls of topology-aware image segmentation", 2024).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ercpseg.geometry.crop import bounding_box, require_mask
from ercpseg.structures import Mask

EIGHT = np.ones((3, 3), np.bool_)
"""Neighbourhood of the foreground."""
FOUR = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.bool_)
"""Neighbourhood of the background."""


def label_components(mask: Mask) -> tuple[NDArray[np.int32], int]:
    """Number the 8-connected components of ``mask`` (y, x).

    Returns labels int32 (y, x), 0 = background, 1…n in row-major order of each component's first pixel, and n.

    Raises
    ------
    ValueError
        when ``mask`` is no boolean (y, x) array.
    """
    from scipy.ndimage import label

    require_mask(mask)
    labels = np.zeros(mask.shape, np.int32)
    box = bounding_box(mask)
    if box is None:
        return labels, 0
    labels[box], n = label(mask[box], structure=EIGHT, output=np.int32)
    return labels, int(n)


def component_areas_px(mask: Mask) -> NDArray[np.int64]:
    """Pixels of each 8-connected component of ``mask`` (y, x), in the order of :func:`label_components`."""
    return _areas(*label_components(mask))


def largest_component(mask: Mask) -> Mask:
    """Only the largest 8-connected component of ``mask`` (y, x); of equal ones the first in row-major order."""
    labels, n = label_components(mask)
    if n <= 1:
        return mask.copy()
    largest: Mask = labels == int(np.argmax(_areas(labels, n))) + 1
    return largest


def remove_small(mask: Mask, min_area_px: float) -> Mask:
    """``mask`` (y, x) without the 8-connected components of fewer than ``min_area_px`` pixels."""
    labels, n = label_components(mask)
    return keep_labels(labels, _areas(labels, n) >= min_area_px)


def fill_holes(mask: Mask) -> Mask:
    """``mask`` (y, x) with its holes set: background that no 4-connected path joins to the outside of the frame."""
    result: Mask = mask | (label_holes(mask)[0] > 0)
    return result


def label_holes(mask: Mask) -> tuple[NDArray[np.int32], int]:
    """Number the holes of ``mask`` (y, x): 4-connected background that does not reach the outside of the frame.

    Returns labels int32 (y, x), 0 = no hole, 1…n in row-major order of each hole's first pixel, and n.
    """
    from scipy.ndimage import label

    require_mask(mask)
    labels = np.zeros(mask.shape, np.int32)
    box = bounding_box(mask)
    if box is None:
        return labels, 0
    # With a rim of background around it the outside is one component, and the first.
    found, n = label(np.pad(~mask[box], 1, constant_values=True), structure=FOUR, output=np.int32)
    labels[box] = np.maximum(found[1:-1, 1:-1] - 1, 0)
    return labels, int(n) - 1


def keep_labels(labels: NDArray[np.int32], keep: NDArray[np.bool_]) -> Mask:
    """Mask (y, x) of the components whose entry in ``keep`` (n,) is true; entry i is for label i + 1."""
    chosen: Mask = np.concatenate([np.zeros(1, np.bool_), keep])[labels]
    return chosen


def _areas(labels: NDArray[np.int32], n: int) -> NDArray[np.int64]:
    return np.bincount(labels.ravel(), minlength=n + 1)[1:].astype(np.int64)
