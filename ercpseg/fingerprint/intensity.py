"""Grey values of one frame: mean, spread and noise inside the field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.fingerprint.field_shape import FieldShape, field_shape
from ercpseg.structures import Mask

BINS = 64
"""Parts of the range of grey values in a histogram."""
FIELD_SIDE_PX = 200
"""Side at which the field is looked for. A field is hundreds of pixels wide, so every n-th pixel shows it as well."""
GRID_SIDE_PX = 256
"""Side at which mean and spread are taken: on every n-th pixel of a larger frame."""
NOISE_ROWS = 128
"""Rows in which the noise is looked for."""
MAD_TO_SD = 1.4826
"""Median absolute deviation to standard deviation, for a normal distribution."""


@dataclass(frozen=True)
class IntensityMeasures:
    """One frame. ``mean_frac`` and ``sd_frac`` are shares of the largest value that the stored bits can hold.

    ``noise_sd`` is in units of the in-field standard deviation, ``noise_grey`` in grey values. ``histogram`` (64,) holds
    the pixels looked at in the field, by 64 equal parts of what the stored bits can hold.
    """

    mean_frac: float
    sd_frac: float
    noise_sd: float
    field_frac: float
    field_shape: FieldShape
    noise_grey: float
    histogram: NDArray[np.int64]


def locate_field(pixels: NDArray[Any]) -> Mask:
    """The exposed field (y, x) of a frame (y, x), to within a few pixels: looked for on every n-th pixel."""
    from ercpseg.frames.field import find_field

    step = max(1, max(pixels.shape) // FIELD_SIDE_PX)
    coarse = find_field(np.ascontiguousarray(pixels[::step, ::step]))
    if step == 1:
        return coarse
    height, width = pixels.shape
    return coarse.repeat(step, axis=0)[:height].repeat(step, axis=1)[:, :width]


def measure_intensity(pixels: NDArray[Any], field: Mask, bits: int) -> IntensityMeasures:
    """Mean, standard deviation and noise of the pixels (y, x) inside ``field`` (y, x).

    The noise is a robust estimate in units of the in-field standard deviation, so that it can be compared between
    frames and added after a z-score: the median absolute response to the second difference in both directions, which
    is blind to any gradient and, by the median, to lines and edges (Immerkær 1996, with a median for the mean).
    """
    step = max(1, max(pixels.shape) // GRID_SIDE_PX)
    inside = pixels[::step, ::step][field[::step, ::step]].astype(np.float64)
    largest = float(2**bits - 1)
    mean, sd = float(inside.mean()), float(inside.std())
    noise = _noise_sd(pixels, field)
    parts = np.minimum(inside.astype(np.int64) * BINS >> bits, BINS - 1)  # a file may hold more than its bits say
    return IntensityMeasures(
        mean_frac=mean / largest,
        sd_frac=sd / largest,
        noise_sd=noise / sd if sd > 0 else 0.0,
        field_frac=float(field.mean()),
        field_shape=field_shape(field),
        noise_grey=noise,
        histogram=np.bincount(parts, minlength=BINS),
    )


def _noise_sd(pixels: NDArray[Any], field: Mask) -> float:
    """Noise in grey values: |[1 −2 1]ᵀ[1 −2 1]| has standard deviation 6 where the noise has 1."""
    if min(pixels.shape) < 3:
        return 0.0
    rows = slice(None, None, max(1, pixels.shape[0] // NOISE_ROWS))
    # Every n-th row of responses, each from its own three rows. The response reaches 16 times the largest grey value.
    integer: type[np.signedinteger[Any]] = np.int16 if pixels.dtype == np.uint8 else np.int32
    above, here, below = (part[rows].astype(integer) for part in (pixels[:-2], pixels[1:-1], pixels[2:]))
    vertical = above - 2 * here + below
    response = np.abs(vertical[:, :-2] - 2 * vertical[:, 1:-1] + vertical[:, 2:])
    inside = response[field[1:-1][rows][:, 1:-1]]
    return float(np.median(inside)) * MAD_TO_SD / 6 if inside.size else 0.0
