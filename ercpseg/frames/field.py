"""The field: the exposed, non-collimated part of a frame.

Fluoroscopy fields are convex (a circle, a rectangle, an octagon), and whatever is dark inside them (an endoscope at
the border, bone) belongs to them. So the field is the convex hull of what is brighter than the collimated surround.
A rule on the bounding box, as in nnU-Net, never notices a circle: its box is the whole frame although 21.5 % is dead.
"""

from __future__ import annotations

import math
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
COARSE_SIDE_PX = 256
"""Side at which connected parts are told apart; a field is hundreds of pixels wide."""
SWEEPS = 8
"""Vectorised passes over the outline before the exact one."""


def find_field(pixels: NDArray[Any]) -> Mask:
    """Boolean (y, x) field of a frame (y, x); all True where no dark surround is found.

    What hangs together is decided on every n-th pixel of a large frame, which saves half of the time; where the field
    ends, on all pixels. So only what lies within n pixels of the field may count as part of it without touching it.

    Source: reference rule R3, with a convex hull instead of hole filling, because dark devices cross the border.
    """
    whole = np.ones(pixels.shape, bool)
    low = float(pixels.min())
    high = float(np.partition(pixels.ravel()[::7], -(pixels.size // 7 // 200) - 1)[-(pixels.size // 7 // 200) - 1])
    threshold = low + SURROUND_FRAC * max(high - low, 1.0)
    # Greys are whole numbers, and comparing them with one is five times faster than with a fraction.
    exposed = pixels > (math.floor(threshold) if pixels.dtype.kind in "ui" else threshold)
    if np.count_nonzero(exposed) >= WHOLE_FRAME_FRAC * exposed.size:
        return whole
    rows, left, right = _row_ends(_large_parts(exposed))
    if len(rows) < 3:
        return whole
    y = np.arange(rows[0], rows[-1] + 1)
    # The hull of a set that has a first and a last pixel in every row is the hull of those pixels, side by side.
    start = np.ceil(np.interp(y, *_envelope(rows, left)) - 0.5).astype(np.int32)
    stop = np.floor(0.5 - np.interp(y, *_envelope(rows, -right))).astype(np.int32)
    columns = np.arange(pixels.shape[1], dtype=np.int32)
    field = np.zeros(pixels.shape, bool)
    field[y[0] : y[-1] + 1] = (columns >= start[:, None]) & (columns <= stop[:, None])
    share = np.count_nonzero(field) / field.size
    return whole if share < SMALLEST_FIELD_FRAC or share >= WHOLE_FRAME_FRAC else field


def _large_parts(exposed: Mask) -> Mask:
    """``exposed`` (y, x) without its small connected parts: burned-in text lies in the surround."""
    from scipy import ndimage

    step = max(1, max(exposed.shape) // COARSE_SIDE_PX)
    labels, count = ndimage.label(exposed[::step, ::step])
    if count <= 1 and step == 1:
        return exposed
    sizes = np.bincount(labels.ravel(), minlength=2)
    sizes[0] = 0
    keep: Mask = (sizes >= LARGE_PART_FRAC * max(1, sizes.max())).take(labels)
    if step == 1:
        return keep
    # Pixels above and left of a kept one, up to the next one looked at, are reached from it.
    keep[:-1] |= keep[1:]
    keep[:, :-1] |= keep[:, 1:]
    height, width = exposed.shape
    reached: Mask = keep.repeat(step, axis=0)[:height].repeat(step, axis=1)[:, :width]
    reached &= exposed
    return reached


def _row_ends(mask: Mask) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Rows that hold a True pixel, and the columns of their first and last one."""
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    return rows, first, last


def _envelope(x: NDArray[np.intp], y: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Corners of the lower convex hull of points sorted by x."""
    # A point on or above the line between its neighbours is no corner, so all of them can go at once; what a few
    # sweeps leave is little enough for Andrew's monotone chain.
    for _ in range(SWEEPS):
        turns = (x[1:-1] - x[:-2]) * (y[2:] - y[:-2]) - (y[1:-1] - y[:-2]) * (x[2:] - x[:-2])
        keep = np.concatenate([[True], turns > 0, [True]])
        if keep.all():
            return x, y
        x, y = x[keep], y[keep]
    hull: list[tuple[int, int]] = []
    for point in zip(x.tolist(), y.tolist(), strict=True):
        while len(hull) > 1 and _turn(hull[-2], hull[-1], point) <= 0:
            hull.pop()
        hull.append(point)
    corners = np.array(hull, np.intp)
    return corners[:, 0], corners[:, 1]


def _turn(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
    """Positive where a → b → c turns left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
