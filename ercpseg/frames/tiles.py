"""Tiles: how a prepared frame is fed to a network of fixed patch size, and how the results are blended.

Positions and blending follow nnU-Net (half-overlapping tiles, Gaussian of one eighth of the tile), so that results can be
compared with its predictor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ercpseg.frames.arrays import Array, as_single, moved, padded, zeros

Size = tuple[int, int]


def pad_to(size: Size, patch: Size) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding ((top, bottom), (left, right)) that centres a frame of ``size`` in at least ``patch``.

    >>> pad_to((500, 512), (512, 512))
    ((6, 6), (0, 0))
    """
    missing = [max(0, p - s) for s, p in zip(size, patch, strict=True)]
    return (missing[0] // 2, missing[0] - missing[0] // 2), (missing[1] // 2, missing[1] - missing[1] // 2)


def tile_starts(length: int, patch: int, step_frac: float = 0.5) -> list[int]:
    """First pixels of the tiles along one axis: evenly spread, at most ``step_frac`` of a patch apart.

    >>> tile_starts(1024, 512), tile_starts(512, 512)
    ([0, 256, 512], [0])
    """
    if length <= patch:
        return [0]
    count = math.ceil((length - patch) / (patch * step_frac)) + 1
    return [round((length - patch) / (count - 1) * i) for i in range(count)]


@lru_cache(maxsize=8)
def gaussian(patch: Size) -> NDArray[np.float32]:
    """Blending weight (y, x) of one tile: Gaussian with σ = patch / 8, largest value 1, never zero."""
    axes = [np.exp(-0.5 * np.square((np.arange(n) - (n - 1) / 2) / (n / 8))) for n in patch]
    weight = np.outer(axes[0], axes[1])
    return np.asarray(np.maximum(weight, weight.max() * 1e-4), np.float32)


@lru_cache(maxsize=8)
def gaussian_stock(patch: Size) -> NDArray[np.float32]:
    """nnU-Net's blending weight: its centre lies half a pixel off for even sizes, and corners count a ten-millionth."""
    axes = [np.exp(-0.5 * np.square((np.arange(n) - n // 2) / (n / 8))) for n in patch]
    return np.asarray(np.outer(axes[0], axes[1]), np.float32)


def predict_tiled(image: Array, patch: Size, forward: Callable[[Array], Array]) -> Array:
    """Run ``forward`` ((n, c, *patch) → (n, heads, *patch)) over an image (c, y, x); returns logits (heads, y, x).

    A frame that fits one patch is one call on the padded frame.
    """
    return predict_tiled_batch(image[None], patch, forward)[0]


def predict_tiled_batch(
    images: Array,
    patch: Size,
    forward: Callable[[Array], Array],
    weight_of: Callable[[Size], NDArray[np.float32]] = gaussian,
) -> Array:
    """:func:`predict_tiled` of frames of one size: (n, c, y, x) → (n, heads, y, x), the same tile of all in one call."""
    (top, bottom), (left, right) = pad_to((images.shape[2], images.shape[3]), patch)
    inside = padded(images, (top, bottom), (left, right))
    height, width = inside.shape[2:]
    starts = [(y, x) for y in tile_starts(height, patch[0]) for x in tile_starts(width, patch[1])]
    whole = len(starts) == 1
    logits = forward(inside) if whole else _blended(inside, patch, forward, moved(weight_of(patch), images), starts)
    return logits[..., top : height - bottom, left : width - right]


def _blended(
    images: Array, patch: Size, forward: Callable[[Array], Array], weight: Array, starts: Sequence[Size]
) -> Array:
    """The weighted mean of what tiles that begin at ``starts`` say."""
    height, width = images.shape[2:]
    total = zeros((height, width), images)
    sums: Array | None = None
    for y, x in starts:
        result = as_single(forward(images[..., y : y + patch[0], x : x + patch[1]])) * weight
        if sums is None:
            sums = zeros((*result.shape[:2], height, width), images)
        sums[..., y : y + patch[0], x : x + patch[1]] += result
        total[y : y + patch[0], x : x + patch[1]] += weight
    return sums / total
