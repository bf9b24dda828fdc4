"""The endoscope in one frame: where it enters the field, in which direction, and how wide its straight part is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ercpseg.structures import Mask

Side = Literal["top", "bottom", "left", "right", "none"]
SIDES: tuple[Side, ...] = ("top", "bottom", "left", "right", "none")
COARSE_SIDE_PX = 200
BORDER_FRAC = 0.015
"""What is this near to the border of the field, in shares of the longer side, touches it."""
NEAR_WIDTHS, FAR_WIDTHS = 1.0, 2.5
"""Distances from the entry, in widths, between which the direction is taken: beyond the slanted cut, before it bends."""
TURN_DEG = 15.0
"""A part of the shaft is straight while its direction changes less than this within one width."""
FEWEST_STRAIGHT = 5
MAX_CHORDS = 96
STEP_PX = 0.125


@dataclass(frozen=True)
class ScopeMeasures:
    """``axis_deg``: direction into the field, 0 = to the right, 90 = down; None where it touches no border."""

    side: Side
    axis_deg: float | None
    width_px: float | None


def find_entry(mask: Mask, field: Mask, width_px: float) -> tuple[Side, float | None]:
    """Side of the field at which ``mask`` (y, x) enters it, and the direction of its axis there in degrees.

    The entry is the largest piece of the mask that touches the border of the field (or of the frame). In a round field
    the side is the one that this piece is nearest to.
    """
    from scipy.ndimage import label, minimum_filter

    from ercpseg.geometry.components import EIGHT

    step = max(1, max(mask.shape) // COARSE_SIDE_PX)
    scope, exposed = mask[::step, ::step], field[::step, ::step]
    reach = max(1, round(BORDER_FRAC * max(scope.shape)))
    inner = minimum_filter(exposed.view(np.uint8), size=2 * reach + 1, mode="constant", cval=0).astype(np.bool_)
    pieces, count = label(scope & exposed & ~inner, structure=EIGHT)
    if not count:
        return "none", None
    sizes = np.bincount(pieces.ravel())[1:]
    entry = np.argwhere(pieces == int(sizes.argmax()) + 1).mean(axis=0)
    return _side(entry, exposed), _axis_deg(scope, entry, width_px / step)


def _side(entry: NDArray[np.float64], field: Mask) -> Side:
    rows, columns = np.flatnonzero(field.any(axis=1)), np.flatnonzero(field.any(axis=0))
    y, x = ((v - lines[0]) / max(1, lines[-1] - lines[0]) for v, lines in zip(entry, (rows, columns), strict=True))
    return min((y, SIDES[0]), (1 - y, SIDES[1]), (x, SIDES[2]), (1 - x, SIDES[3]))[1]


def _axis_deg(scope: Mask, entry: NDArray[np.float64], width_px: float) -> float | None:
    """From the entry to the middle of the piece of shaft that lies one to two and a half widths away."""
    from scipy.ndimage import label

    from ercpseg.geometry.components import EIGHT

    y, x = np.ogrid[: scope.shape[0], : scope.shape[1]]
    distance = np.hypot(y - entry[0], x - entry[1])
    near = scope & (distance <= FAR_WIDTHS * width_px)
    pieces, count = label(near, structure=EIGHT)
    if count > 1:  # of a loop that comes back only the piece that enters counts
        at = np.argwhere(near)
        closest = at[int(np.hypot(*(at - entry).T).argmin())]
        near = pieces == pieces[tuple(closest)]
    ahead = np.argwhere(near & (distance >= NEAR_WIDTHS * width_px))
    if not len(ahead):
        return None
    dy, dx = ahead.mean(axis=0) - entry
    return math.degrees(math.atan2(dy, dx)) % 360


def straight_width_px(mask: Mask, line: NDArray[np.float64], width_px: float) -> float | None:
    """Median width across the centre-line where it is straight, one width away from either end.

    The width is the length of the chord of the mask at a right angle to the line, so the line need not lie in the middle.

    Parameters
    ----------
    mask
        bool (y, x).
    line
        smoothed centre-line (n, 2) from end to end, in pixels of ``mask``.
    width_px
        about how wide it is.
    """
    if len(line) < 3:
        return None
    spacing = max(1e-9, float(np.hypot(*np.diff(line, axis=0).T).mean()))
    window = max(1, min(math.ceil(width_px / spacing), (len(line) - 1) // 4))
    along = line[window:] - line[:-window]
    angle = np.unwrap(np.arctan2(along[:, 0], along[:, 1]))
    # angle[i] is the direction from point i to i + window; a point is straight where the ways in and out agree.
    turn = np.degrees(np.abs(angle[window:] - angle[:-window]))
    middle = np.arange(window, len(line) - window)
    straight = middle[turn <= TURN_DEG]
    chosen = straight if len(straight) >= FEWEST_STRAIGHT else middle
    chosen = chosen[:: max(1, math.ceil(len(chosen) / MAX_CHORDS))]
    through = line[chosen + window] - line[chosen - window]
    through /= np.maximum(1e-9, np.hypot(*through.T))[:, None]
    chords = _chords_px(mask, line[chosen], through[:, ::-1] * (-1, 1), reach_px=width_px + 2)
    return float(np.median(chords)) if len(chords) else None


def _chords_px(
    mask: Mask, points: NDArray[np.float64], normals: NDArray[np.float64], reach_px: float
) -> NDArray[np.float64]:
    """Lengths of the chords of a mask through points (n, 2) along unit vectors (n, 2), without those that reach further."""
    t = np.arange(0, reach_px + STEP_PX, STEP_PX)
    padded = np.pad(mask, 1)
    total = np.zeros(len(points))
    ended = np.ones(len(points), np.bool_)
    for sign in (-1, 1):
        at = np.rint(points[:, None] + sign * t[None, :, None] * normals[:, None]).astype(int) + 1
        inside = padded[np.clip(at[..., 0], 0, padded.shape[0] - 1), np.clip(at[..., 1], 0, padded.shape[1] - 1)]
        total += (inside.argmin(axis=1) - 0.5) * STEP_PX  # the end is between the last sample inside and the next
        ended &= ~inside.all(axis=1) & inside[:, 0]
    return total[ended]


def circular_sd_deg(angles_deg: NDArray[np.float64]) -> float | None:
    """Circular standard deviation √(−2 ln R), R the length of the mean direction (Mardia 1972); None below two angles.

    >>> circular_sd_deg(np.array([90.0, 90.0]))
    0.0
    """
    if len(angles_deg) < 2:
        return None
    radians = np.deg2rad(angles_deg)
    length = min(1.0, float(np.hypot(np.cos(radians).mean(), np.sin(radians).mean())))
    return math.degrees(math.sqrt(max(0.0, -2 * math.log(max(length, 1e-12)))))
