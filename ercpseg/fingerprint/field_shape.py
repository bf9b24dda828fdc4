"""The shape of the exposed field: the whole frame, a rectangle, round, or something else."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ercpseg.structures import Mask

FieldShape = Literal["full", "rectangular", "round", "other"]
SHAPES: tuple[FieldShape, ...] = ("full", "rectangular", "round", "other")
FULL_FRAC = 0.99
ROUND_ERROR = 0.02
"""Largest root mean square distance of the rim from a circle, in radii. That of a regular octagon is 0.025."""
FILL_FRAC = 0.96
"""Share of its box that a rectangle fills."""
COARSE_SIDE_PX = 256
FEWEST_RIM = 12


def field_shape(field: Mask) -> FieldShape:
    """Shape of a convex field (y, x). A circle that the frame cuts off is round; a frame without surround is full."""
    if field.mean() >= FULL_FRAC:
        return "full"
    step = max(1, max(field.shape) // COARSE_SIDE_PX)
    coarse = field[::step, ::step]
    if _is_round(coarse):
        return "round"
    rows, columns = np.flatnonzero(coarse.any(axis=1)), np.flatnonzero(coarse.any(axis=0))
    box = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return "rectangular" if np.count_nonzero(coarse) >= FILL_FRAC * box else "other"


def _is_round(field: Mask) -> bool:
    """Whether one circle fits the rim, where the frame does not cut it off.

    The circle of least algebraic error (Kåsa 1976): y² + x² = 2·a·y + 2·b·x + c is linear in a, b and c.
    """
    rim = _rim(field)
    if len(rim) < FEWEST_RIM:
        return False
    y, x = rim[:, 0].astype(np.float64), rim[:, 1].astype(np.float64)
    (a, b, c), *_ = np.linalg.lstsq(np.stack([2 * y, 2 * x, np.ones(len(y))], axis=1), y**2 + x**2, rcond=None)
    radius = float(np.sqrt(max(0.0, c + a**2 + b**2)))
    if not 0 < radius <= max(field.shape):  # one straight side looks like a piece of a huge circle
        return False
    error = np.hypot(y - a, x - b) - radius
    return float(np.sqrt(np.mean(error**2))) <= ROUND_ERROR * radius


def _rim(field: Mask) -> NDArray[np.intp]:
    """First and last field pixel of every row and column (n, 2), without those at the border of the frame."""
    height, width = field.shape
    rows, columns = np.flatnonzero(field.any(axis=1)), np.flatnonzero(field.any(axis=0))
    left, right = field[rows].argmax(axis=1), width - 1 - field[rows, ::-1].argmax(axis=1)
    top, bottom = field[:, columns].argmax(axis=0), height - 1 - field[::-1, columns].argmax(axis=0)
    rim = np.concatenate(
        [np.stack(pair, axis=1) for pair in ((rows, left), (rows, right), (top, columns), (bottom, columns))]
    )
    inner = (rim > 0).all(axis=1) & (rim[:, 0] < height - 1) & (rim[:, 1] < width - 1)
    return np.asarray(rim[inner])
