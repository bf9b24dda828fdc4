"""Where a structure lies in its frame: centre of mass, and a coarse map for the atlas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ercpseg.structures import Mask

CELLS = 32
"""Cells of the atlas along either side of the frame."""


@dataclass(frozen=True)
class Place:
    """``centre_yx`` in shares of height and width; ``cells`` (32, 32) uint8, share of each cell × 255."""

    centre_yx: tuple[float, float]
    cells: NDArray[np.uint8]


def locate(mask: Mask, offset_yx: tuple[int, int], shape: tuple[int, int]) -> Place:
    """Where the set pixels of a crop ``mask`` (y, x) lie, whose corner is at ``offset_yx`` of a frame of ``shape``."""
    height, width = shape
    y, x = (axis + start for axis, start in zip(np.nonzero(mask), offset_yx, strict=True))
    cell = (y * CELLS // height) * CELLS + x * CELLS // width
    filled = np.bincount(cell, minlength=CELLS**2).reshape(CELLS, CELLS)
    sizes = [np.bincount(np.arange(side) * CELLS // side, minlength=CELLS) for side in shape]
    share = filled / np.maximum(1, np.outer(*sizes))
    # Pixel i covers i to i + 1, so its centre is at i + ½.
    return Place(
        (float((y.mean() + 0.5) / height), float((x.mean() + 0.5) / width)), np.rint(255 * share).astype(np.uint8)
    )
