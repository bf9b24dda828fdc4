"""Doubts about an annotation: holes of a few pixels, debris, masks wider than the line under them, single pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.fingerprint.paths import Path, smooth
from ercpseg.structures import Mask

HOLE_PX = 9
"""Largest hole that counts as a slip of the pen; a larger one may be meant."""
DEBRIS_PX = 3
"""Largest component beside a larger one that counts as debris."""
LINE_ELONGATION, LINE_WIDTH_PX = 10.0, 12.0
"""Least length / width, and greatest width, of a line: its mask is compared with the pixels, and holes in it mean nothing."""
WIDE_RATIO, WIDE_PX = 1.5, 2.0
"""A mask is clearly wider than its line when it is that many times and that many pixels wider."""
RUNS, RUN_STEPS = 16, 6
"""Places along a line, and neighbouring profiles that are averaged at each."""
CLEAR_SD = 3.0
"""Depth of a profile, in noise standard deviations, from which the line is seen."""
FEWEST_RUNS = 3
BUSY_FRAC = (0.05, 0.95)
"""Share of a line's mask that other structures may cover at a place without being what is seen there instead."""
STEP_PX = 0.5


def is_line(length_px: float, width_px: float) -> bool:
    """Whether a structure of this length and width is a line, as a wire is.

    >>> is_line(200, 3), is_line(200, 30)
    (True, False)
    """
    return width_px <= LINE_WIDTH_PX and length_px >= LINE_ELONGATION * width_px


def has_small_holes(mask: Mask) -> bool:
    """Whether a crop (y, x) encloses background of 1 to 9 px, 4-connected. A line that crosses itself does, and rightly."""
    from scipy.ndimage import label

    from ercpseg.geometry.components import FOUR

    background, count = label(np.pad(~mask, 1, constant_values=True), structure=FOUR)
    if count < 2:
        return False
    sizes = np.bincount(background.ravel())[1:]
    sizes[background[0, 0] - 1] = HOLE_PX + 1
    return bool(sizes.min() <= HOLE_PX)


def has_debris(areas_px: NDArray[np.float64]) -> bool:
    """Whether components of at most 3 px stand beside larger ones.

    >>> has_debris(np.array([2.0, 90.0])), has_debris(np.array([2.0, 2.0]))
    (True, False)
    """
    return bool(areas_px.size and areas_px.min() <= DEBRIS_PX < areas_px.max())


def line_width_px(
    path: Path, pixels: NDArray[Any], width_px: float, noise_grey: float, others: Mask | None = None
) -> float | None:
    """Width of the line in ``pixels`` (y, x) along a path: the full width at half of its depth, median along the line.

    Returns None where the line is not seen clearly against the noise in a third of the places. Places where another
    structure covers a part of the mask are passed over: a wire in a duct says nothing of the duct's width.

    Parameters
    ----------
    path
        centre-line of the mask, in the coordinates of ``pixels``.
    pixels
        the frame (y, x).
    width_px
        median width of the mask; profiles reach 1.5 times as far, and 5 px.
    noise_grey
        standard deviation of the noise in grey values.
    others
        where other structures are (y, x).
    """
    from scipy.ndimage import map_coordinates

    line = smooth(path.points)
    trim = int(np.ceil(width_px))
    line = line[trim : len(line) - trim]
    if len(line) < FEWEST_RUNS * RUN_STEPS:
        return None
    starts = np.unique(np.linspace(0, len(line) - RUN_STEPS, RUNS).astype(int))
    places = (starts[:, None] + np.arange(RUN_STEPS)).ravel()
    along = np.gradient(line, axis=0)[places]
    along /= np.maximum(1e-9, np.hypot(*along.T))[:, None]
    normals = along[:, ::-1] * (-1, 1)
    reach = 1.5 * width_px + 5
    t = np.arange(-reach, reach + STEP_PX / 2, STEP_PX)
    at = line[places][:, None] + t[None, :, None] * normals[:, None]
    grey = map_coordinates(pixels, np.moveaxis(at, -1, 0), np.float32, order=1, mode="nearest")
    profiles = grey.reshape(len(starts), RUN_STEPS, len(t)).mean(axis=1).astype(np.float64)
    if others is not None:
        across = at[:, np.abs(t) <= width_px / 2].round().astype(int)
        inside = (np.clip(across[..., axis], 0, others.shape[axis] - 1) for axis in (0, 1))
        covered = others[tuple(inside)].reshape(len(starts), -1).mean(axis=1)
        profiles = profiles[(covered < BUSY_FRAC[0]) | (covered > BUSY_FRAC[1])]
    widths = [w for w in _half_widths(profiles, t, width_px, noise_grey) if w is not None]
    return float(np.median(widths)) if len(widths) >= max(FEWEST_RUNS, len(starts) / 3) else None


def is_wide(mask_width_px: float, line_px: float | None) -> bool:
    """Whether a mask is clearly wider than its line.

    >>> is_wide(8.0, 4.0), is_wide(3.0, 1.5), is_wide(6.0, 5.0), is_wide(8.0, None)
    (True, False, False, False)
    """
    return line_px is not None and mask_width_px >= max(WIDE_RATIO * line_px, line_px + WIDE_PX)


def _half_widths(
    profiles: NDArray[np.float64], t: NDArray[np.float64], width_px: float, noise_grey: float
) -> list[float | None]:
    """Full width at half depth of each profile (n, t); None where no line is seen, or it reaches beyond the profile."""
    far = np.abs(t) > width_px / 2 + 2
    near = np.abs(t) <= max(1.0, width_px / 2)
    sides = [np.median(profiles[:, far & side], axis=1) for side in (t < 0, t > 0)]
    deviation = profiles - np.mean(sides, axis=0)[:, None]
    if deviation[:, near].sum() < 0:
        deviation = -deviation
    found: list[float | None] = []
    for row in deviation:
        peak = int(np.flatnonzero(near)[row[near].argmax()])
        found.append(_full_width(row, peak) if row[peak] > max(CLEAR_SD * noise_grey, 1e-9) else None)
    return found


def _full_width(row: NDArray[np.float64], peak: int) -> float | None:
    half = row[peak] / 2
    ends = []
    for step in (-1, 1):
        i = peak
        while row[i] >= half:
            i += step
            if not 0 <= i < len(row):
                return None
        ends.append(abs(i - peak) - (half - row[i]) / (row[i - step] - row[i]))
    return float(STEP_PX * (ends[0] + ends[1]))
