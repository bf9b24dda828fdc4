"""The field: the exposed, non-collimated part of a frame.

Fluoroscopy fields are convex (a circle, a rectangle, an octagon), and whatever is dark inside them (an endoscope at
the border, bone) belongs to them. So the field is the convex hull of what is brighter than the collimated surround.
A rule on the bounding box, as in nnU-Net, never notices a circle: its box is the whole frame although 21.5 % is dead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.structures import Mask

SURROUND_FRAC = 0.02
"""The surround is within this share of the grey range above the minimum (R3)."""
SMALLEST_FIELD_FRAC = 0.15
"""Below this share of the frame the estimate is not trusted, and the whole frame counts as field."""
WHOLE_FRAME_FRAC = 0.95
"""From this share on there is no collimation worth a mask (R3)."""


def find_field(pixels: NDArray[Any]) -> Mask:
    """Boolean (y, x) field of a frame (y, x); all True where no dark surround is found.

    Source: reference rule R3, with a convex hull instead of hole filling, because dark devices cross the border.
    """
    from scipy import ndimage
    from skimage.draw import polygon2mask

    whole = np.ones(pixels.shape, bool)
    low = float(pixels.min())
    high = float(np.partition(pixels.ravel()[::7], -(pixels.size // 7 // 200) - 1)[-(pixels.size // 7 // 200) - 1])
    exposed = pixels > low + SURROUND_FRAC * max(high - low, 1.0)
    if exposed.mean() >= WHOLE_FRAME_FRAC:
        return whole
    # Burned-in text lies in the surround: keep the largest connected part only.
    labels, count = ndimage.label(exposed)
    if count == 0:
        return whole
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    outline = _row_ends(largest)
    hull = _convex_hull(outline)
    if len(hull) < 3:
        return whole
    field: Mask = np.asarray(polygon2mask(pixels.shape, hull)) | largest  # type: ignore[no-untyped-call]
    share = field.mean()
    return whole if share < SMALLEST_FIELD_FRAC or share >= WHOLE_FRAME_FRAC else field


def _row_ends(mask: Mask) -> NDArray[np.float64]:
    """(n, 2) coordinates (y, x) of the first and last True pixel of every row."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    return np.concatenate([np.stack([rows, first], 1), np.stack([rows, last], 1)]).astype(float)


def _convex_hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.spatial import ConvexHull, QhullError

    try:
        return np.asarray(points[ConvexHull(points).vertices])
    except (QhullError, ValueError):  # all points on one line
        return np.empty((0, 2))
