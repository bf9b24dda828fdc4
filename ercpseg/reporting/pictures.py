"""Pictures for the report: a frame with its reference above the same frame with the prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.frames.overlay import overlay
from ercpseg.storage.images import encode_png
from ercpseg.structures import Mask

GAP_PX = 6
MAX_SIDE_PX = 640
"""Larger frames are thinned to this side before drawing: a report holds a dozen pictures and is sent by mail."""


def reference_over_prediction(
    pixels: NDArray[Any], reference: Mapping[str, Mask], prediction: Mapping[str, Mask], names: Sequence[str]
) -> bytes:
    """PNG of two overlays, the reference above, the prediction below.

    Parameters
    ----------
    pixels
        (y, x) uint8 or uint16.
    reference, prediction
        (y, x) boolean per structure.
    names
        all structures in the order of their bits.
    """
    step = -(-max(pixels.shape) // MAX_SIDE_PX)
    halves = [
        overlay(
            np.ascontiguousarray(pixels[::step, ::step]),
            {name: _thin_out(mask, step) for name, mask in masks.items()},
            names,
            legend=legend,
        )
        for masks, legend in ((reference, True), (prediction, False))
    ]
    gap = np.full((GAP_PX, halves[0].shape[1], 3), 20, np.uint8)
    return encode_png(np.concatenate([halves[0], gap, halves[1]], axis=0))


def _thin_out(mask: Mask, step: int) -> Mask:
    """Every cell of ``step`` × ``step`` pixels is on where any of its pixels is, so that a wire is not lost."""
    if step == 1:
        return mask
    height, width = mask.shape
    padded = np.zeros((-(-height // step) * step, -(-width // step) * step), np.bool_)
    padded[:height, :width] = mask
    cells = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)
    return np.asarray(cells.any(axis=(1, 3)))
