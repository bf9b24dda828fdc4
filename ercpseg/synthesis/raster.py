"""Rasterising courses: nearest-point coordinates of tubes, and unions of balls.

Each sample point of a course writes to the pixels of a small stencil around it, all at once: a picture costs the
stencils' area, not the frame's. Points are (y, x) in px with pixel centres at integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ercpseg.synthesis.curves import Array, Map, arc_length, resample

Shape = tuple[int, int]

_NONE = np.int64(2**62)
_FINE = 1024
"""Squared distances are compared in units of 1/1024 px²."""
_MAX_ELEMENTS = 4_000_000
"""Of one batch of stencils; 32 MB of keys."""


@dataclass(frozen=True)
class Near:
    """The pixels within reach of a course, in tube coordinates.

    ``flat`` (m,) are their indices into a flattened picture, ``along`` (m,) the arc length in px of the nearest point
    of the course, ``across`` (m,) the signed distance from it in px, positive to the right of the course. ``beyond``
    (m,) is how far a pixel lies before the begin or after the end, in px, else 0.
    """

    flat: NDArray[np.intp]
    along: Map
    across: Map
    beyond: Map


def near(points: Array, reach_px: float, shape: Shape, step_px: float | None = None) -> Near:
    """Tube coordinates of the pixels of ``shape`` within ``reach_px`` of the course ``points`` (n, 2).

    The course is sampled every ``step_px`` (a quarter of the reach, between 0.75 and 4 px), and a pixel takes its
    nearest sample's tangent, which is exact for straight pieces. A crossing course keeps the nearer strand.
    """
    step = float(np.clip(reach_px / 4, 0.75, 4)) if step_px is None else step_px
    fine = resample(points, step)
    s = arc_length(fine)
    tangent = np.gradient(fine, axis=0) if len(fine) > 2 else np.repeat(np.diff(fine, axis=0), 2, axis=0)
    tangent /= np.maximum(np.hypot(*tangent.T), 1e-9)[:, None]
    half = int(np.ceil(reach_px)) + 1
    seen = np.flatnonzero(((fine > -half) & (fine < np.array(shape) + half)).all(axis=1))  # others reach no pixel
    low, high = _window(fine[seen], half, shape)
    height, width = int(high[0] - low[0]), int(high[1] - low[1])
    best = np.full(max(height * width, 0), _NONE)
    d = np.arange(-half, half + 1)
    dy, dx = (c.ravel() for c in np.meshgrid(d, d, indexing="ij"))
    round_ = dy * dy + dx * dx <= (reach_px + step + 1) ** 2
    dy, dx = dy[round_], dx[round_]
    for batch in np.array_split(seen, max(1, len(seen) * len(dy) // _MAX_ELEMENTS + 1)):
        base = np.rint(fine[batch]).astype(np.intp)
        offset = fine[batch] - base
        far = (dy[None, :] - offset[:, :1]) ** 2 + (dx[None, :] - offset[:, 1:]) ** 2
        y, x = base[:, :1] + (dy - low[0])[None, :], base[:, 1:] + (dx - low[1])[None, :]
        keep = (far <= (reach_px + step) ** 2) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        key = ((far * _FINE).astype(np.int64) << 32) | batch[:, None]
        np.minimum.at(best, (y * width + x)[keep], key[keep])
    flat = np.flatnonzero(best != _NONE)
    rows, columns = flat // max(width, 1) + low[0], flat % max(width, 1) + low[1]
    index = (best[flat] & 0xFFFFFFFF).astype(np.intp)
    gap_y, gap_x = rows - fine[index, 0], columns - fine[index, 1]
    forward = gap_y * tangent[index, 0] + gap_x * tangent[index, 1]
    across = gap_x * -tangent[index, 0] + gap_y * tangent[index, 1]
    along = s[index] + forward
    beyond = np.maximum(np.maximum(-along, along - s[-1]), 0)
    inside = np.abs(across) <= reach_px
    flat = rows * shape[1] + columns
    return Near(flat[inside], *(np.asarray(a[inside], np.float32) for a in (along, across, beyond)))


def _window(points: Array, half: int, shape: Shape) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Corners of the part of a picture that stencils around ``points`` can reach; empty where there are none."""
    if not len(points):
        return np.zeros(2, np.intp), np.zeros(2, np.intp)
    low = np.maximum(np.floor(points.min(axis=0)).astype(np.intp) - half, 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(np.intp) + half + 1, shape)
    return low, np.maximum(high, low)


def thick_balls(points: Array, radius_px: Array, out: Map) -> None:
    """Raise ``out`` (y, x) to the longest chord in px through any of the balls at ``points`` (n, 2).

    Closely spaced balls along a course make a tube with round ends and no seams at forks: a lumen.
    """
    order = np.argsort(radius_px)
    shape, flat = out.shape, out.reshape(-1)
    for group in np.array_split(order, max(1, min(len(order), 6))):
        if not len(group):
            continue
        half = int(np.ceil(float(radius_px[group].max())))
        d = np.arange(-half, half + 1)
        dy, dx = (c.ravel() for c in np.meshgrid(d, d, indexing="ij"))
        for batch in np.array_split(group, max(1, len(group) * len(dy) // _MAX_ELEMENTS + 1)):
            base = np.rint(points[batch]).astype(np.intp)
            offset = points[batch] - base
            rest = radius_px[batch, None] ** 2 - (
                (dy[None, :] - offset[:, :1]) ** 2 + (dx[None, :] - offset[:, 1:]) ** 2
            )
            y, x = base[:, :1] + dy[None, :], base[:, 1:] + dx[None, :]
            keep = (rest > 0) & (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
            np.maximum.at(flat, (y * shape[1] + x)[keep], (2 * np.sqrt(rest[keep])).astype(np.float32))


def spaced(points: Array, radius: Array, share: float = 0.25, least_px: float = 0.6) -> tuple[Array, Array]:
    """A course at steps of about ``share`` of its smallest radius, with the radius at each point."""
    s = arc_length(points)
    step = max(least_px, share * float(np.min(radius)))
    at = np.linspace(0, s[-1], max(2, round(s[-1] / step) + 1))
    fine = np.stack([np.interp(at, s, points[:, axis]) for axis in (0, 1)], axis=1)
    return fine, np.interp(at, s, radius)
