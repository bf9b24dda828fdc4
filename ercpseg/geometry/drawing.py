"""Outlines and lines to masks. Points are (n, 2) as (x, y) with pixel centres at integers, as labelme has them.

A pixel belongs to a shape when its centre lies inside or on the border. All work is done row by row inside the shape's
bounding box, so time grows with the rows that its edges cross (:func:`effort` says how much), not with pixels × edges.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.structures import Mask

Points = NDArray[np.float64]
_Ints = NDArray[np.int64]

_TOUCHING = 1e-9
"""Square pixels by which a centre may miss the border of a line or disk: what rounding costs."""
_ON_VERTEX = 1e-12
_CHUNK = 1 << 20
_PER_ROW = 32
"""How many pixels one crossed row is worth in :func:`effort`."""


def fill_polygon(points: Points, shape: tuple[int, int]) -> Mask:
    """The mask (y, x) of a closed outline; what lies outside of the image is cut off.

    Where the outline crosses itself, the even-odd rule holds. The convention at the border is that of
    ``skimage.draw.polygon2mask``, with which the project's reference masks were drawn (PIL and labelme draw slightly
    larger), pixel for pixel.

    >>> fill_polygon(np.array([[0.5, 0.5], [2.5, 0.5], [2.5, 1.5], [0.5, 1.5]]), (3, 4)).astype(int)
    array([[0, 0, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 0, 0]])
    """
    mask = np.zeros(shape, bool)
    paint_polygon(mask, points)
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
    paint_polyline(mask, points, width_px)
    return mask


def fill_disk(centre: Points, radius_px: float, shape: tuple[int, int]) -> Mask:
    """The mask (y, x) of all pixels whose centre lies within ``radius_px`` of ``centre`` (x, y).

    >>> fill_disk(np.array([1.0, 1.0]), 1.0, (3, 3)).astype(int)
    array([[0, 1, 0],
           [1, 1, 1],
           [0, 1, 0]])
    """
    mask = np.zeros(shape, bool)
    paint_polyline(mask, np.asarray(centre, np.float64).reshape(1, 2), 2 * radius_px)
    return mask


def paint_polygon(mask: Mask, points: Points) -> int:
    """Add a closed outline to ``mask`` (y, x); returns how many pixels it covers.

    A pixel is inside when a ray from its centre crosses the outline an odd number of times. Two rays are sent, to the
    right and to the left, each counting an edge's upper or lower end only; where they differ, the centre lies on an edge
    (O'Rourke, Computational Geometry in C, 1998, section 7.4), which counts as inside.
    """
    rows, columns = _window(points.min(axis=0), points.max(axis=0), mask.shape)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if height == 0 or width == 0:
        return 0
    origin = np.array([columns.start, rows.start])
    ends = points - origin
    starts = np.roll(ends, 1, axis=0)
    low, high = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    inside = np.zeros((height, width), bool)
    for lower in (True, False):
        first = np.ceil(low) if lower else np.floor(low) + 1  # an edge owns its lower end, or its upper one
        last = np.ceil(high) - 1 if lower else np.floor(high)
        turns = np.zeros((height, width + 1), np.uint8)
        for edge, row in _rows(first, last, height):
            column = _crossing(starts[edge], ends[edge], row, lower=lower)
            np.bitwise_xor.at(turns, (row, np.clip(column, 0, width)), np.uint8(1))
        np.bitwise_xor.accumulate(turns, axis=1, out=turns)
        inside |= turns[:, :width].view(bool)
    nearest = np.rint(ends)
    on = (np.abs(ends - nearest) < _ON_VERTEX).all(axis=1) & (nearest >= 0).all(axis=1)
    on &= (nearest < (width, height)).all(axis=1)
    x, y = nearest[on].astype(np.int64).T
    inside[y, x] = True
    mask[rows, columns] |= inside
    return int(np.count_nonzero(inside))


def paint_polyline(mask: Mask, points: Points, width: float, pixel_size: tuple[float, float] = (1.0, 1.0)) -> int:
    """Add an open line to ``mask`` (y, x); returns how many pixels it covers.

    ``points`` are (n, 2) as (x, y) in pixels; one point makes a disk. ``width`` is in the unit of ``pixel_size``, the
    size (y, x) of a pixel: in pixels unless stated.
    """
    reach2 = (width / 2) ** 2 + _TOUCHING * min(pixel_size) ** 2
    reach = float(np.sqrt(reach2))
    y_size, x_size = pixel_size
    margin = np.array([reach / x_size, reach / y_size])
    rows, columns = _window(points.min(axis=0) - margin, points.max(axis=0) + margin, mask.shape)
    height, n_columns = rows.stop - rows.start, columns.stop - columns.start
    if height == 0 or n_columns == 0:
        return 0
    scaled = (points - (columns.start, rows.start)) * (x_size, y_size)
    starts, ends = (scaled[:-1], scaled[1:]) if len(scaled) > 1 else (scaled, scaled)
    low, high = np.minimum(starts[:, 1], ends[:, 1]) - reach, np.maximum(starts[:, 1], ends[:, 1]) + reach
    depth = np.zeros((height, n_columns + 1), np.int32)
    for piece, row in _rows(np.ceil(low / y_size), np.floor(high / y_size), height):
        left, right = _capsule(starts[piece], ends[piece], row.astype(np.float64) * y_size, reach2)
        met = left <= right
        begin = np.clip(np.ceil(left[met] / x_size), 0, n_columns).astype(np.int64)
        end = np.clip(np.floor(right[met] / x_size) + 1, 0, n_columns).astype(np.int64)
        np.add.at(depth, (row[met], begin), 1)
        np.add.at(depth, (row[met], np.maximum(begin, end)), -1)
    np.cumsum(depth, axis=1, out=depth)
    covered = depth[:, :n_columns] > 0
    mask[rows, columns] |= covered
    return int(np.count_nonzero(covered))


def effort(points: Points, shape: tuple[int, int], reach_px: float = 0.0) -> int:
    """What drawing ``points`` costs, in pixels that are touched once: the bounding box and the rows that edges cross."""
    rows, columns = _window(points.min(axis=0) - reach_px, points.max(axis=0) + reach_px, shape)
    following = np.roll(points[:, 1], -1)
    low = np.clip(np.minimum(points[:, 1], following) - reach_px, 0, shape[0])
    high = np.clip(np.maximum(points[:, 1], following) + reach_px, 0, shape[0])
    crossed = float((high - low).sum()) + len(points)
    return int((rows.stop - rows.start) * (columns.stop - columns.start) + _PER_ROW * crossed)


def _rows(first: Points, last: Points, height: int) -> Iterator[tuple[_Ints, _Ints]]:
    """Every (edge, row) pair with ``first <= row <= last`` in the image, about a million at a time."""
    first = np.clip(first, 0, height).astype(np.int64)
    counts = np.maximum(np.clip(last, -1, height - 1).astype(np.int64) - first + 1, 0)
    total = np.cumsum(counts)
    at = 0
    while at < len(counts):
        done = int(total[at - 1]) if at else 0
        until = max(at + 1, int(np.searchsorted(total, done + _CHUNK, side="right")))
        part = counts[at:until]
        edge = np.repeat(np.arange(at, until), part)
        offset = np.arange(len(edge)) - np.repeat(np.cumsum(part) - part, part)
        yield edge, first[edge] + offset
        at = until


def _crossing(start: Points, end: Points, row: _Ints, *, lower: bool) -> _Ints:
    """The first column that an edge leaves behind on a row: right of the crossing, or (``lower``) on it.

    The side of the nearest pixel centre is told by the same formula, term by term, as in scikit-image, so that centres
    on an edge are found on it there and here.
    """
    x0, y0, x1, y1 = end[:, 0], end[:, 1] - row, start[:, 0], start[:, 1] - row
    nearest = np.rint((x0 * y1 - x1 * y0) / (y1 - y0))
    side = ((x0 - nearest) * y1 - (x1 - nearest) * y0) / (y1 - y0)
    column: _Ints = (nearest + np.where(side > 0 if lower else side >= 0, 1, 0)).astype(np.int64)
    return column


def _capsule(start: Points, end: Points, y: Points, reach2: float) -> tuple[Points, Points]:
    """Where a row at height ``y`` enters and leaves all that is within reach of the segment; left > right: nowhere.

    A capsule is convex, so the row meets it in one interval: the union of those in its two disks and its rectangle.
    """
    left, right = np.full(len(y), np.inf), np.full(len(y), -np.inf)
    for centre in (start, end):
        rest = reach2 - (y - centre[:, 1]) ** 2
        half = np.sqrt(np.maximum(rest, 0))
        left = np.where(rest >= 0, np.minimum(left, centre[:, 0] - half), left)
        right = np.where(rest >= 0, np.maximum(right, centre[:, 0] + half), right)
    dx, dy = (end - start).T
    length2 = dx**2 + dy**2
    across = np.sqrt(reach2 * length2)
    height = y - start[:, 1]
    low, high = np.full(len(y), -np.inf), np.full(len(y), np.inf)
    # |dy·x − dx·height| ≤ across keeps beside the line, 0 ≤ dx·x + dy·height ≤ length2 between its ends
    for slope, least, most in (
        (dy, dx * height - across, dx * height + across),
        (dx, -dy * height, length2 - dy * height),
    ):
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            one, other = least / slope, most / slope
        flat, never = slope == 0, (slope == 0) & ((least > 0) | (most < 0))
        low = np.where(never, np.inf, np.where(flat, low, np.maximum(low, np.minimum(one, other))))
        high = np.where(flat, high, np.minimum(high, np.maximum(one, other)))
    met = (low <= high) & (length2 > 0)
    left = np.where(met, np.minimum(left, low + start[:, 0]), left)
    right = np.where(met, np.maximum(right, high + start[:, 0]), right)
    return left, right


def _window(low: Points, high: Points, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of the image between two corners (x, y), one more on either side."""
    height, width = shape
    limits: Any = (width, height)
    x0, y0 = (int(v) for v in np.clip(np.floor(low), 0, limits))
    x1, y1 = (int(v) for v in np.clip(np.ceil(high) + 1, 0, limits))
    return slice(y0, max(y0, y1)), slice(x0, max(x0, x1))
