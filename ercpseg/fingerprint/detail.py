"""What pictures of a fingerprint are drawn from, and what is too long for the document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ercpseg.fingerprint.measured import Measured
from ercpseg.fingerprint.shape import reference_long_side_px


@dataclass(frozen=True)
class Detail:
    """``histograms``: device → (frames, 64) shares of the field's pixels by grey value. ``widths_px``: structure → widths
    in pixels of the reference long side. ``atlas``: structure → (32, 32) mean share of each cell of the frame that it
    covers. Structures and devices of which nothing was measured are left out.
    """

    histograms: Mapping[str, NDArray[np.float64]]
    widths_px: Mapping[str, NDArray[np.float64]]
    atlas: Mapping[str, NDArray[np.float64]]


def collect_detail(measured: Measured) -> Detail:
    """The detail of what one pass has found; devices are named as in the fingerprint."""
    from ercpseg.fingerprint.devices import device_names

    reference = reference_long_side_px([c.size_px for c in measured.contents])
    shown = {name: found for name, found in measured.structures.items() if found}
    histograms = {
        name: np.stack([measured.device_grey[frame].histogram for frame in measured.by_device[key]])
        for key, name in device_names(measured.devices).items()
    }
    return Detail(
        histograms={name: h / np.maximum(1, h.sum(axis=1, keepdims=True)) for name, h in histograms.items()},
        widths_px={
            name: np.concatenate([s.widths_px * reference / max(m.content.size_px) for s, m in found])
            for name, found in shown.items()
        },
        atlas={name: np.mean([s.place.cells for s, _ in found], axis=0) / 255 for name, found in shown.items()},
    )
