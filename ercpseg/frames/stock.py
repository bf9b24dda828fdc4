"""Frame preparation of stock nnU-Net 2D models, so that their networks see what they were trained on.

Cut to the box of what is not zero, normalise, resample nothing (frames without spacing are never resampled by nnU-Net).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.serving import StockPreparation
from ercpseg.frames.prepare import Geometry

SMALLEST = 1e-8
"""nnU-Net divides by nothing smaller."""


def prepare_stock(pixels: NDArray[Any], values: StockPreparation) -> tuple[NDArray[np.float32], Geometry]:
    """Canonical frame (y, x) → network input (1, y, x) float32, and the way back.

    Source: nnU-Net 2.8.1, ``DefaultPreprocessor.run_case_npy`` and its normalisation schemes.
    """
    nonzero = pixels != 0
    rows, columns = np.flatnonzero(nonzero.any(1)), np.flatnonzero(nonzero.any(0))
    native = (pixels.shape[0], pixels.shape[1])
    box = ((0, native[0]), (0, native[1]))
    if rows.size:
        box = ((int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1))
    inside = (slice(*box[0]), slice(*box[1]))
    image = _normalise(pixels[inside].astype(np.float32), nonzero[inside], values)
    geometry = Geometry(native, (image.shape[0], image.shape[1]), None if image.shape == native else box)
    return image[None], geometry


def _normalise(image: NDArray[np.float32], nonzero: NDArray[np.bool_], values: StockPreparation) -> NDArray[np.float32]:
    if values.normalisation == "zscore" and values.nonzero_only:
        seen = image[nonzero]
        image[nonzero] = (seen - seen.mean()) / max(seen.std(), SMALLEST)
    elif values.normalisation == "zscore":
        mean, sd = image.mean(), image.std()
        image -= mean
        image /= max(sd, SMALLEST)
    elif values.normalisation == "rescale_to_0_1":
        image -= image.min()
        image /= max(image.max(), SMALLEST)
    elif values.normalisation == "rgb_to_0_1":
        image /= 255
    elif values.normalisation == "ct":
        np.clip(image, *values.clip, out=image)
        image -= values.mean
        image /= max(values.sd, SMALLEST)
    return image
