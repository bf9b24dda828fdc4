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
LARGE_PART_FRAC = 0.1
"""A part of at least this share of the largest belongs to the field: a black endoscope may cut the field in two."""
WHOLE_FRAME_FRAC = 0.95
"""From this share on there is no collimation worth a mask (R3)."""


def find_field(pixels: NDArray[Any]) -> Mask:
    """Boolean (y, x) field of a frame (y, x); all True where no dark surround is found.

    Source: reference rule R3, with a convex hull instead of hole filling, because dark devices cross the border.
    """
    from scipy import ndimage

    whole = np.ones(pixels.shape, bool)
    low = float(pixels.min())
    high = float(np.partition(pixels.ravel()[::7], -(pixels.size // 7 // 200) - 1)[-(pixels.size // 7 // 200) - 1])
    exposed = pixels > low + SURROUND_FRAC * max(high - low, 1.0)
    if exposed.mean() >= WHOLE_FRAME_FRAC:
        return whole
    # Burned-in text lies in the surround: keep the large connected parts only.
    labels, count = ndimage.label(exposed)
    if count == 0:
        return whole
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    rows, left, right = _row_ends((sizes >= LARGE_PART_FRAC * sizes.max())[labels])
    if len(rows) < 3:
        return whole
    y = np.arange(rows[0], rows[-1] + 1)
    # The hull of a set that has a first and a last pixel in every row is the hull of those pixels, side by side.
    start = np.interp(y, *_envelope(rows, left))
    stop = -np.interp(y, *_envelope(rows, -right))
    columns = np.arange(pixels.shape[1])
    field = np.zeros(pixels.shape, bool)
    field[y] = (columns >= start[:, None] - 0.5) & (columns <= stop[:, None] + 0.5)
    share = field.mean()
    return whole if share < SMALLEST_FIELD_FRAC or share >= WHOLE_FRAME_FRAC else field


def _row_ends(mask: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Rows that hold a True pixel, and the columns of their first and last one."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    return rows, first, last


def _envelope(x: NDArray[np.intp], y: NDArray[np.intp]) -> tuple[list[int], list[int]]:
    """Corners of the lower convex hull of points sorted by x (Andrew's monotone chain)."""
    hull: list[tuple[int, int]] = []
    for point in zip(x.tolist(), y.tolist(), strict=True):
        while len(hull) > 1 and _turn(hull[-2], hull[-1], point) <= 0:
            hull.pop()
        hull.append(point)
    return [p[0] for p in hull], [p[1] for p in hull]


def _turn(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
    """Positive where a → b → c turns left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
