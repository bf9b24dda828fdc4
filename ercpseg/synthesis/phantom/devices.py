"""Optical depths and truth masks of the guidewire and of the contrast-filled ducts with their stones.

Everything here takes a :class:`~ercpseg.synthesis.phantom.scene.Moment` in reference px and gives maps of (size, size) pixels.
Depths are line integrals µ·t along parallel rays; a round tube is crossed over t = 2·sqrt(r² − d²).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ercpseg.structures import Mask
from ercpseg.synthesis.curves import Array, Map, arc_length, chord, direction, mean_chord, resample, tube_map
from ercpseg.synthesis.phantom.courses import MM_PER_REFERENCE_PX, REFERENCE_SIZE, Branch, Stone
from ercpseg.synthesis.phantom.scene import Moment

MIN_HALF_WIDTH_PX = 0.75
"""A line at least 1.5 px wide keeps its mask in one piece (8-neighbours) at any angle (√2 would do)."""


@dataclass(frozen=True)
class Layer:
    """What a structure adds to a picture: optical ``depth`` (size, size) and the truth ``mask`` (size, size)."""

    depth: Map
    mask: Mask


def pixels(points: Array, size: int) -> Array:
    """Reference px to pixels of a picture of ``size``; pixel centres are at integers in both."""
    return np.asarray((points + 0.5) * (size / REFERENCE_SIZE) - 0.5, np.float64)


def guidewire(now: Moment, size: int) -> Layer:
    """The wire: a dense thin tube, its mask never narrower than 1.5 px."""
    layer = empty(size)
    if now.wire is None:
        return layer
    scale = size / REFERENCE_SIZE
    radius = now.patient.wire_width_px / 2 * scale
    marked = max(radius, MIN_HALF_WIDTH_PX)
    tube = tube_map(resample(pixels(now.wire, size), max(2 * scale, 1)), marked + 1, (size, size))
    if tube is None:
        return layer
    length_mm = mean_chord(tube.across, radius) * np.float32(MM_PER_REFERENCE_PX / scale)
    layer.depth[tube.window] = np.where(tube.near, length_mm * np.float32(now.wire_per_mm), 0)
    layer.mask[tube.window] = tube.near & (np.abs(tube.across) < marked)
    return layer


def ducts(now: Moment, size: int) -> tuple[Layer, Layer]:
    """The contrast column with its stones' defects (mask: the column, stones included), and the stones (no depth)."""
    column, stones = empty(size), empty(size)
    if not now.ducts:
        return column, stones
    scale = size / REFERENCE_SIZE
    lumen = column.depth
    for branch in now.ducts:
        drawn = _lumen(branch, size)
        if drawn is not None:
            window, thickness = drawn
            np.maximum(lumen[window], thickness, out=lumen[window])  # one lumen where branches meet, not a sum
    column.mask[:] = lumen > 0
    cbd = now.patient.ducts[0]
    whole = replace(cbd, points=cbd.points + now.shift)
    for stone in now.stones:
        _displace(stone, whole, size, (lumen, column.mask, stones.mask))
    lumen *= np.float32(now.contrast_per_mm * MM_PER_REFERENCE_PX / scale)
    return column, stones


def empty(size: int) -> Layer:
    """A layer with nothing in it."""
    return Layer(np.zeros((size, size), np.float32), np.zeros((size, size), np.bool_))


def _lumen(branch: Branch, size: int) -> tuple[tuple[slice, slice], Map] | None:
    """Ray length in px through a branch whose free ends are elliptic: (window, thickness)."""
    scale = size / REFERENCE_SIZE
    points = pixels(branch.points, size)
    tube = tube_map(points, float(branch.radius.max()) * scale + 1, (size, size))
    if tube is None:
        return None
    s = arc_length(points)
    radius = np.interp(tube.along, s, branch.radius * scale)
    root = np.inf if branch.parent is not None else tube.along  # a branch begins inside of its parent
    to_end = np.clip(np.minimum(root, s[-1] - tube.along) / (1.5 * radius), 0, 1)
    cap = np.sqrt(1 - (1 - to_end) ** 2)
    before = np.minimum(tube.along, 0)  # round behind the root, to fill the fork
    thickness = chord(np.hypot(tube.across, before), radius * cap)
    thickness[~tube.near] = 0
    return tube.window, thickness


def _displace(stone: Stone, whole: Branch, size: int, maps: tuple[Map, Mask, Mask]) -> None:
    """Take the contrast out of ``maps`` = (lumen, column mask, stones mask) where the stone lies in the CBD."""
    lumen, column, stones = maps
    scale = size / REFERENCE_SIZE
    index = int(np.argmin(np.abs(arc_length(whole.points) - stone.along_px)))
    tangent = whole.points[min(index + 1, len(whole.points) - 1)] - whole.points[max(index - 1, 0)]
    tangent /= np.hypot(*tangent)
    free = max(float(whole.radius[index]) - stone.diameter_px / 2, 0)
    place = whole.points[index] + stone.offset_frac * free * np.array([tangent[1], -tangent[0]])
    radius = stone.diameter_px / 2 * scale
    centre = pixels(place[None], size)[0]
    reach = radius * stone.elongation + 1
    low = np.maximum(np.floor(centre - reach).astype(int), 0)
    high = np.minimum(np.ceil(centre + reach).astype(int) + 1, size)
    if (high <= low).any():
        return
    window = np.s_[low[0] : high[0], low[1] : high[1]]
    y, x = np.mgrid[window]
    axis = direction(float(np.rad2deg(np.arctan2(tangent[1], -tangent[0]))) + stone.turn_deg)
    u = ((y - centre[0]) * axis[0] + (x - centre[1]) * axis[1]) / (radius * stone.elongation)
    v = (-(y - centre[0]) * axis[1] + (x - centre[1]) * axis[0]) / radius
    rho = np.hypot(u, v)
    for heading, far in stone.facets:
        ny, nx = direction(heading)
        rho = np.maximum(rho, (u * ny + v * nx) / far)
    # Fuller than an ellipsoid (exponent 4): stones mould to the lumen and show flat in real frames.
    thickness = (2 * radius * np.sqrt(np.maximum(1 - rho**4, 0))).astype(np.float32)
    lumen[window] = np.maximum(lumen[window] - thickness, 0)
    stones[window] |= (rho < 1) & column[window]
