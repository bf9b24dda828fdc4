"""Erosion, dilation, opening and closing with a disk of any size at the cost of a distance transform.

A kernel of ``k_px`` is the disk of all pixels whose centre lies within (k − 1)/2 of the middle one, k pixels across
for odd k: 1 changes nothing, 3 is the cross of five. A footprint of 70 × 70 pixels would cost 4900 comparisons per
pixel; here every size costs the same.

Beyond the frame the mask goes on as it is at the border, so that a shaft that leaves the frame is neither rounded off
by an opening nor cut loose by a closing.
"""

from __future__ import annotations

import math

import numpy as np

from ercpseg.geometry.crop import bounding_box, require_mask
from ercpseg.structures import Mask


def opening(mask: Mask, kernel_px: float) -> Mask:
    """``mask`` (y, x) without what the disk does not fit into: lines narrower than ``kernel_px``, small spots."""
    return _cropped(mask, kernel_px, erode_first=True)


def closing(mask: Mask, kernel_px: float) -> Mask:
    """``mask`` (y, x) with the gaps filled that the disk does not fit into: slits narrower than ``kernel_px``."""
    return _cropped(mask, kernel_px, erode_first=False)


def dilate(mask: Mask, radius_px: float) -> Mask:
    """All pixels whose centre lies within ``radius_px`` of a pixel of ``mask`` (y, x)."""
    require_mask(mask)
    if radius_px < 1 or not mask.any():
        return mask.copy()
    if radius_px < 2:
        return _touching(mask, corners=radius_px >= math.sqrt(2))
    from scipy.ndimage import distance_transform_edt

    result: Mask = distance_transform_edt(~mask) <= radius_px
    return result


def dilate_square(mask: Mask, reach_px: int) -> Mask:
    """All pixels at most ``reach_px`` rows and columns from a pixel of ``mask`` (y, x): a square of 2·``reach_px`` + 1."""
    require_mask(mask)
    if reach_px < 1 or not mask.any():
        return mask.copy()
    if reach_px == 1:
        return _touching(mask, corners=True)
    from scipy.ndimage import maximum_filter

    result: Mask = maximum_filter(mask, 2 * reach_px + 1, mode="constant", cval=False)
    return result


def erode_square(mask: Mask, reach_px: int) -> Mask:
    """The pixels of ``mask`` (y, x) whose whole square of 2·``reach_px`` + 1 is in it; beyond the frame is no background."""
    return ~dilate_square(~mask, reach_px)


def erode(mask: Mask, radius_px: float) -> Mask:
    """The pixels of ``mask`` (y, x) with no background within ``radius_px``; beyond the frame is no background."""
    return ~dilate(~mask, radius_px)


def _touching(mask: Mask, *, corners: bool) -> Mask:
    """``mask`` (y, x) and its neighbours at the sides, with ``corners`` at the corners too: the disks of 1 and 1.5 px."""
    result = mask.copy()
    result[1:] |= mask[:-1]
    result[:-1] |= mask[1:]
    wide = result.copy() if corners else mask
    result[:, 1:] |= wide[:, :-1]
    result[:, :-1] |= wide[:, 1:]
    return result


def _cropped(mask: Mask, kernel_px: float, *, erode_first: bool) -> Mask:
    require_mask(mask)
    radius_px = (kernel_px - 1) / 2
    result = mask.copy()
    margin = math.floor(radius_px) + 1
    box = bounding_box(mask, margin)
    if radius_px < 1 or box is None:
        return result
    # Inside the frame the margin is background; at the frame's border padding repeats the border.
    work = np.pad(mask[box], margin, mode="edge")
    work = dilate(erode(work, radius_px), radius_px) if erode_first else erode(dilate(work, radius_px), radius_px)
    result[box] = work[margin:-margin, margin:-margin]
    return result
