"""Resampling of planes by numpy: what torch's ``interpolate`` gives, as fast, and without loading torch.

An axis is resampled by a matrix that is zero off a band round its diagonal. Products of its rows, :data:`ROWS` at a time, with
the part of the input that they reach are dense and small.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Kind = Literal["linear", "cubic"]
Single = NDArray[np.float32]

ROWS = 16
"""Small enough that a product of so many rows stays in the thread that asks for it."""
CUBIC = -0.5
"""Keys' constant; torch and Pillow take it where they smooth against aliasing."""


class _Band(NamedTuple):
    """Rows ``first`` to ``last`` of the output are ``weight`` times samples ``start`` to ``stop`` of the input."""

    first: int
    last: int
    start: int
    stop: int
    weight: Single


def resized(planes: Single, size: tuple[int, int], *, kind: Kind, antialias: bool) -> Single:
    """(…, y, x) → (…, *size), corners not aligned. ``antialias``: where an axis shrinks, the kernel grows as it does.

    Source: the kernels of PyTorch's ``interpolate`` (``UpSampleKernel.cpp``); beyond the border nothing counts.
    """
    for axis, length in ((-2, size[0]), (-1, size[1])):
        if planes.shape[axis] != length:
            planes = _along(planes, axis, _bands(planes.shape[axis], length, kind, antialias))
    return planes


def _along(planes: Single, axis: int, bands: tuple[_Band, ...]) -> Single:
    shape = list(planes.shape)
    shape[axis] = bands[-1].last
    result = np.empty(shape, np.float32)
    for first, last, start, stop, weight in bands:
        if axis == -2:
            np.matmul(weight, planes[..., start:stop, :], out=result[..., first:last, :])
        else:
            np.matmul(planes[..., start:stop], weight.T, out=result[..., first:last])
    return result


@lru_cache(maxsize=32)
def _bands(length: int, wanted: int, kind: Kind, antialias: bool) -> tuple[_Band, ...]:
    # Single precision all along, as in torch: at sample 1000 it shifts a kernel by a ten-thousandth.
    one = np.float32(1)
    scale = np.float32(length) / np.float32(wanted)
    grown = max(scale, one) if antialias else one
    reach = np.float32(2 if kind == "cubic" else 1) * grown
    centre = (np.arange(wanted, dtype=np.float32) + np.float32(0.5)) * scale
    low = np.maximum(0, np.trunc(centre - reach + one / 2)).astype(int)
    high = np.minimum(length, np.trunc(centre + reach + one / 2)).astype(int)
    bands = []
    for first in range(0, wanted, ROWS):
        last = min(first + ROWS, wanted)
        start, stop = int(low[first]), int(high[last - 1])
        at = np.arange(start, stop, dtype=np.float32)
        inside = (at >= low[first:last, None]) & (at < high[first:last, None])
        weight = np.where(inside, _kernel(np.abs(at - centre[first:last, None] + one / 2) * (one / grown), kind), 0)
        weight /= weight.sum(1, keepdims=True)
        bands.append(_Band(first, last, start, stop, weight))
    return tuple(bands)


def _kernel(distance: Single, kind: Kind) -> Single:
    if kind == "linear":
        return np.maximum(0, 1 - distance)
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    far = (((distance - 5) * distance + 8) * distance - 4) * CUBIC
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))
