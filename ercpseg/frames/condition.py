"""Conditioning of frames before the network (R5): filters that published systems used, on native grey values.

All of it is off by rule; recipes switch it on. What a filter does is the same in training and in live prediction,
because :func:`ercpseg.frames.prepare.prepare` is the only one that calls it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.plan_input import PreparationValues


def filtered(pixels: NDArray[Any], values: PreparationValues) -> NDArray[Any]:
    """Median filter, then the filter that thickens devices; grey values (y, x) stay whole numbers.

    ``erode_px``: the least value of a square around each pixel (grey erosion, Martin 2022: 3 × 3), which makes dark lines
    thicker; where the plan says that devices are bright, the greatest.
    """
    from scipy.ndimage import maximum_filter, median_filter, minimum_filter

    if values.median_px > 1:
        pixels = median_filter(pixels, size=values.median_px)
    if values.erode_px > 1:
        pixels = (maximum_filter if values.invert else minimum_filter)(pixels, size=values.erode_px)
    return pixels


def enhances(values: PreparationValues) -> bool:
    """Whether :func:`enhanced` changes anything."""
    return values.equalise or values.sharpen > 0


def enhanced(pixels: NDArray[Any], field: NDArray[np.bool_] | None, values: PreparationValues) -> NDArray[np.float32]:
    """Grey values (y, x), clipped and stretched to 0 to 1, equalised and sharpened as planned; float32.

    Order and kernels as in Pishro Dabaghiyan 2026: saturate a share at either end, equalise the histogram, subtract
    k times the Laplacian (the 3 × 3 kernel of four neighbours; the borders are repeated).
    """
    inside = pixels if field is None or field.all() else pixels[field]
    counts = np.bincount(inside.ravel())
    cumulative = np.cumsum(counts)
    low, high = (int(np.searchsorted(cumulative, max(1.0, q / 100 * cumulative[-1]))) for q in values.clip_percentiles)
    high = max(high, low + 1)
    grey = np.arange(max(len(counts), int(pixels.max()) + 1), dtype=np.float64)
    table = (np.clip(grey, low, high) - low) / (high - low)
    if values.equalise:
        table = _equalising(counts, low, high, len(grey))
    image: NDArray[np.float32] = table.astype(np.float32)[pixels]
    if values.sharpen > 0:
        from scipy.ndimage import laplace

        image = image - np.float32(values.sharpen) * laplace(image, mode="nearest")
    return image


def _equalising(counts: NDArray[np.int64], low: int, high: int, levels: int) -> NDArray[np.float64]:
    """Grey value → share of the field's pixels that are darker, half of the equally grey ones included."""
    clipped = np.zeros(levels)
    np.add.at(clipped, np.clip(np.arange(len(counts)), low, high), counts)
    share = (np.cumsum(clipped) - clipped / 2) / clipped.sum()
    table: NDArray[np.float64] = share[np.clip(np.arange(levels), low, high)]
    return table
