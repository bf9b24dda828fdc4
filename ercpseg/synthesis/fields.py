"""Smooth fields: cubic B-spline upsampling of coarse grids, and noise with structure at several scales."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


def at_positions(coarse: Map, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> Map:
    """Values (len(rows), len(columns)) of a coarse grid at fractional positions, smoothed by a cubic B-spline.

    The spline approximates (it blurs by about 0.6 coarse pixels) and never overshoots. Positions outside are clamped.
    Plain sums in a fixed order, so the result does not depend on the number of threads of a BLAS.
    """
    # Columns first: there are fewer coarse rows than fine ones, and rows are copied faster than columns.
    return _along_axis(_along_axis(coarse, columns, 1), rows, 0)


def _along_axis(grid: Map, positions: NDArray[np.float64], axis: int) -> Map:
    base = np.floor(positions).astype(np.intp)
    f = positions - base
    weights = ((1 - f) ** 3 / 6, (3 * f**3 - 6 * f**2 + 4) / 6, (-3 * f**3 + 3 * f**2 + 3 * f + 1) / 6, f**3 / 6)
    result: Map | None = None
    for tap, weight in enumerate(weights):
        index = np.clip(base + tap - 1, 0, grid.shape[axis] - 1)
        column = weight.astype(np.float32)
        part = np.take(grid, index, axis=axis)
        part *= column[:, None] if axis == 0 else column[None, :]
        result = part if result is None else np.add(result, part, out=result)
    assert result is not None  # noqa: S101 — there are always four taps
    return result


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], knots: int, aspect: float = 1.0) -> Map:
    """A smooth random field (y, x) of unit variance with ``knots`` values along y and ``aspect``·knots along x."""
    counts = (max(2, knots) + 3, max(2, round(knots * aspect)) + 3)
    coarse = rng.standard_normal(counts, np.float32) * np.float32(2.09)
    # The spline keeps 151/315 of the variance of white noise along each axis; 315/151 = 2.09 makes up for two.
    rows, columns = (np.linspace(1, n - 2, m) for n, m in zip(counts, shape, strict=True))
    return at_positions(coarse, rows, columns)


def soft_step(distance_px: NDArray[np.floating], width_px: float) -> Map:
    """A step from 0 to 1 at distance 0, about 4·``width_px`` wide (logistic)."""
    return np.asarray(1 / (1 + np.exp(-np.clip(distance_px / width_px, -30, 30))), np.float32)
