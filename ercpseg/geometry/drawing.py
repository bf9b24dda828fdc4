"""Outlines and lines to masks. Points are (n, 2) as (x, y) with pixel centres at integers, as labelme has them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.structures import Mask

Points = NDArray[np.float64]


def fill_polygon(points: Points, shape: tuple[int, int]) -> Mask:
    """The mask (y, x) of a closed outline; what lies outside of the image is cut off.

    The convention at the border is that of ``skimage.draw.polygon2mask``, with which the project's reference masks were
    drawn (PIL and labelme draw slightly larger).

    >>> fill_polygon(np.array([[0.5, 0.5], [2.5, 0.5], [2.5, 1.5], [0.5, 1.5]]), (3, 4)).astype(int)
    array([[0, 0, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 0, 0]])
    """
    from skimage.draw import polygon2mask

    mask: Mask = polygon2mask(shape, points[:, ::-1])  # type: ignore[no-untyped-call]
    return mask


def draw_polyline(points: Points, shape: tuple[int, int], width_px: float) -> Mask:
    """The mask (y, x) of all pixels whose centre lies within half of ``width_px`` of the open line.

    >>> draw_polyline(np.array([[0.0, 1.0], [3.0, 1.0]]), (4, 5), 1).astype(int)
    array([[0, 0, 0, 0, 0],
           [1, 1, 1, 1, 0],
           [0, 0, 0, 0, 0],
           [0, 0, 0, 0, 0]])
    """
    mask = np.zeros(shape, bool)
    reach = width_px / 2
    ends = points[1:] if len(points) > 1 else points
    for start, end in zip(points[: len(ends)], ends, strict=True):
        rows, columns, x, y = _window(np.minimum(start, end) - reach, np.maximum(start, end) + reach, shape)
        along = end - start
        length2 = float(along @ along)
        share = (
            0.0 if length2 == 0 else np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / length2, 0, 1)
        )
        distance2 = (x - start[0] - share * along[0]) ** 2 + (y - start[1] - share * along[1]) ** 2
        mask[rows, columns] |= distance2 <= reach**2 + 1e-9
    return mask


def fill_disk(centre: Points, radius_px: float, shape: tuple[int, int]) -> Mask:
    """The mask (y, x) of all pixels whose centre lies within ``radius_px`` of ``centre`` (x, y).

    >>> fill_disk(np.array([1.0, 1.0]), 1.0, (3, 3)).astype(int)
    array([[0, 1, 0],
           [1, 1, 1],
           [0, 1, 0]])
    """
    mask = np.zeros(shape, bool)
    rows, columns, x, y = _window(centre - radius_px, centre + radius_px, shape)
    mask[rows, columns] = (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius_px**2 + 1e-9
    return mask


def _window(
    low: Points, high: Points, shape: tuple[int, int]
) -> tuple[slice, slice, NDArray[np.float64], NDArray[np.float64]]:
    """Rows and columns of the image between two corners (x, y), and the coordinates x (1, n) and y (m, 1) in it."""
    height, width = shape
    x0, y0 = (int(v) for v in np.clip(np.floor(low), 0, (width, height)))
    x1, y1 = (int(v) for v in np.clip(np.ceil(high) + 1, 0, (width, height)))
    x: NDArray[Any] = np.arange(x0, max(x0, x1), dtype=np.float64)[None, :]
    y: NDArray[Any] = np.arange(y0, max(y0, y1), dtype=np.float64)[:, None]
    return slice(y0, max(y0, y1)), slice(x0, max(x0, x1)), x, y
