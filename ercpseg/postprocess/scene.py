"""What a step may look at besides its own mask: the probabilities behind it, and the finished mask of another structure.

Probabilities are held in *levels*: whole numbers from 0 to 200, the probability in steps of 0.005, rounded up. A threshold
of 0.05, 0.10 … and three tenths of one are whole levels, so ``level > threshold`` and ``probability > threshold`` are the
same pixels, and a byte per pixel decides every candidate of tuning as prediction would.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ercpseg.structures import Mask

LEVELS = 200
"""Levels of probability 1."""

Levels = NDArray[np.uint8]


@dataclass(frozen=True)
class Scene:
    """``levels`` (y, x) and ``threshold`` of the structure itself, ``other`` the mask (y, x) that the step names."""

    levels: Levels | None = None
    threshold: float = 0.5
    other: Mask | None = None


def above(levels: Levels, probability: float) -> Mask:
    """The pixels whose probability is above ``probability``, exact for whole levels.

    >>> above(np.array([[110, 111]], np.uint8), 0.55)
    array([[False,  True]])
    """
    mask: Mask = levels > round(probability * LEVELS, 6)  # 0.55 · 200 is not 110 to the last bit
    return mask


def probabilities(levels: Levels) -> NDArray[np.float64]:
    """The middle of each level as a probability; level 0 is 0.

    >>> probabilities(np.array([0, 1, 200], np.uint8)).tolist()
    [0.0, 0.0025, 0.9975]
    """
    result: NDArray[np.float64] = np.maximum(levels - 0.5, 0) / LEVELS
    return result
