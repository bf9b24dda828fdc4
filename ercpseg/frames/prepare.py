"""From a frame to the network's input; the SAME functions serve training and live prediction.

The way back is :mod:`ercpseg.frames.restore`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.plan import PreparationValues
from ercpseg.frames.condition import enhanced, enhances, filtered
from ercpseg.frames.field import find_field
from ercpseg.frames.resample import resized
from ercpseg.geometry.morphology import dilate, dilate_square
from ercpseg.structures import Bitmask

THIN_PX = 2.0
"""Below this working width a majority vote breaks a line (sampling theorem)."""


@dataclass(frozen=True)
class Geometry:
    """Native and working size (y, x) of one frame: all that is needed to bring a result back.

    ``box``, where a scheme cuts frames: first and last + 1 row and column of what it kept, in native pixels.
    """

    native: tuple[int, int]
    working: tuple[int, int]
    box: tuple[tuple[int, int], tuple[int, int]] | None = None

    @property
    def kept(self) -> tuple[int, int]:
        """Native size (y, x) of what was kept."""
        return self.native if self.box is None else (self.box[0][1] - self.box[0][0], self.box[1][1] - self.box[1][0])

    @property
    def scale(self) -> float:
        """Working / native length."""
        return max(self.working) / max(self.kept)


def working_geometry(native: tuple[int, int], working_long_side_px: int) -> Geometry:
    """The size to which a frame is resampled: its longer side becomes ``working_long_side_px``.

    >>> working_geometry((1024, 768), 512)
    Geometry(native=(1024, 768), working=(512, 384), box=None)
    """
    scale = working_long_side_px / max(native)
    return Geometry(native, (max(1, round(native[0] * scale)), max(1, round(native[1] * scale))))


def prepare(pixels: NDArray[Any], values: PreparationValues) -> tuple[NDArray[np.float32], Geometry]:
    """Canonical frame (y, x) → network input (1, y, x) float32 at working size, and the way back.

    Median and thickening filter where planned (:mod:`ercpseg.frames.condition`), clip to percentiles inside the field,
    z-score inside the field (by the frame's own mean and standard deviation, or by the dataset's), turned round where
    devices are bright, zero outside the field, then resample (cubic, anti-aliased).
    """
    geometry = working_geometry((pixels.shape[0], pixels.shape[1]), values.working_long_side_px)
    field = find_field(pixels) if values.field_mask else None
    pixels = filtered(pixels, values)
    if enhances(values):
        pixels = enhanced(pixels, field, values)
        normalised = _z_score(pixels, field)
    else:
        normalised = _normalise(pixels, field, values.clip_percentiles, values.dataset_mean_sd)
    if values.invert:
        np.negative(normalised, out=normalised)
    return resized(normalised[None], geometry.working, kind="cubic", antialias=True), geometry


def _z_score(image: NDArray[np.float32], field: NDArray[np.bool_] | None) -> NDArray[np.float32]:
    """Grey values that are no whole numbers any more; outside the field zero."""
    inside = image if field is None or field.all() else image[field]
    mean, sd = float(inside.mean(dtype=np.float64)), float(inside.std(dtype=np.float64))
    result: NDArray[np.float32] = (image - np.float32(mean)) / np.float32(max(1e-3, sd))
    if inside is not image:
        result[~field] = 0  # type: ignore[operator]
    return result


def _normalise(
    pixels: NDArray[Any],
    field: NDArray[np.bool_] | None,
    clip: tuple[float, float],
    mean_sd: tuple[float, float] | None = None,
) -> NDArray[np.float32]:
    """Exact percentiles, mean and sd from the histogram, or the mean and sd given; outside the field zero."""
    inside = pixels if field is None or field.all() else pixels[field]
    counts = np.bincount(inside.ravel())
    cumulative = np.cumsum(counts)
    low, high = (int(np.searchsorted(cumulative, max(1.0, q / 100 * cumulative[-1]))) for q in clip)
    grey = np.clip(np.arange(len(counts), dtype=np.float64), low, max(high, low + 1))
    mean = float((grey * counts).sum() / cumulative[-1])
    sd = max(1e-3, float(np.sqrt((np.square(grey - mean) * counts).sum() / cumulative[-1])))
    if mean_sd is not None:
        mean, sd = mean_sd
    # What is subtracted as whole numbers is exact; of the mean only the rest is left to the float32.
    clipped = np.clip(pixels, low, int(grey[-1]))
    clipped -= clipped.dtype.type(low)
    result: NDArray[np.float32] = clipped.astype(np.float32)
    result *= np.float32(1 / sd)
    result += np.float32((low - mean) / sd)
    if field is not None and inside is not pixels:
        result[~field] = 0
    return result


def resample_bitmask(bitmask: Bitmask, size: tuple[int, int], thin_bits: int = 0) -> Bitmask:
    """Bitmask (y, x) to ``size``, structure by structure, so that overlap survives.

    A pixel is set where at least half of it is covered. Where a structure of ``thin_bits`` would shrink below
    :data:`THIN_PX`, any coverage sets it (a wire must not vanish, R7); wider ones would only grow fat by that.
    """
    if bitmask.shape == size:
        return bitmask
    import torch
    from torch.nn import functional

    bits = [1 << i for i in range(8) if (bitmask & (1 << i)).any()]
    result = np.zeros(size, np.uint8)
    shrinks = max(size) < max(bitmask.shape)
    for bit in bits:
        present = (bitmask & bit) != 0
        mask = torch.from_numpy(present.astype(np.float32))[None, None]
        if shrinks and bit & thin_bits and _mean_width(present) * max(size) / max(bitmask.shape) < THIN_PX:
            resampled = functional.adaptive_max_pool2d(mask, size)
        else:
            resampled = functional.interpolate(mask, size=size, mode="bilinear", antialias=shrinks, align_corners=False)
        result |= (resampled[0, 0].numpy() >= 0.5).astype(np.uint8) * np.uint8(bit)
    return result


def thicken(bitmask: Bitmask, radius_px: dict[int, int], *, square: bool = False) -> Bitmask:
    """Bitmask (y, x) in which the structure of each bit is dilated by so many pixels (R23): for training masks only.

    By a disk of that radius, or by a ``square`` of twice that and one (3 × 3 for 1 px, Martin 2022). The post-processing step
    ``thin_back`` of the same radius and kernel takes it back from what is predicted.
    """
    result = bitmask
    for bit, radius in radius_px.items():
        present = (bitmask & bit) != 0
        if radius >= 1 and present.any():
            thick = dilate_square(present, radius) if square else dilate(present, radius)
            result = result | thick.astype(np.uint8) * np.uint8(bit)
    return result


def _mean_width(mask: NDArray[np.bool_]) -> float:
    """Mean width of band-like shapes in pixels: area over half the rim."""
    rim = int(np.count_nonzero(mask[1:] != mask[:-1])) + int(np.count_nonzero(mask[:, 1:] != mask[:, :-1]))
    return 2.0 * int(np.count_nonzero(mask)) / max(1, rim)
