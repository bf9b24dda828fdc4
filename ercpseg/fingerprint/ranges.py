"""The quantities of one frame that a later one is compared with (R34), and the range that a dataset has of them.

The same function measures a training frame and, with predicted masks, a new one, so that the two can be compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ercpseg.fingerprint.frame import FrameMeasures
from ercpseg.fingerprint.intensity import IntensityMeasures
from ercpseg.fingerprint.shape import round_significant
from ercpseg.fingerprint.structure import StructureMeasures

RANGE_PERCENTS = (1, 99)
Range = tuple[float, float]


def contrast_sd(s: StructureMeasures, m: FrameMeasures) -> float | None:
    """(inside − ring) / in-field standard deviation; None without a ring or spread."""
    sd_grey = m.intensity.sd_frac * (2**m.content.bits - 1)
    return s.contrast_grey / sd_grey if s.contrast_grey is not None and sd_grey > 0 else None


def grey_quantities(i: IntensityMeasures) -> dict[str, float]:
    """``field_frac``, ``mean_frac``, ``sd_frac``, ``noise_sd`` of one frame."""
    return {"field_frac": i.field_frac, "mean_frac": i.mean_frac, "sd_frac": i.sd_frac, "noise_sd": i.noise_sd}


def structure_quantities(name: str, s: StructureMeasures, m: FrameMeasures, reference_px: float) -> dict[str, float]:
    """``<name>.foreground_frac``, ``.width_px``, ``.length_px`` and ``.contrast`` of one frame that shows the structure.

    ``reference_px`` is the reference long side that lengths are brought to.
    """
    scale = reference_px / max(m.content.size_px)
    contrast = contrast_sd(s, m)
    found = {
        "foreground_frac": s.foreground_frac,
        "width_px": s.width_px * scale,
        "length_px": s.length_px * scale,
        **({} if contrast is None else {"contrast": contrast}),
    }
    return {f"{name}.{key}": value for key, value in found.items()}


def frame_quantities(m: FrameMeasures, reference_px: float) -> dict[str, float]:
    """All quantities of one frame, those of a structure only where it is shown."""
    found = grey_quantities(m.intensity)
    for name, s in m.structures.items():
        found |= structure_quantities(name, s, m, reference_px)
    return found


def ranges_of(frames: Iterable[Mapping[str, float]]) -> dict[str, Range]:
    """1st and 99th percentile of every quantity over the frames that have it."""
    values: dict[str, list[float]] = {}
    for frame in frames:
        for key, value in frame.items():
            values.setdefault(key, []).append(value)
    return {key: _range(found) for key, found in values.items()}


def _range(values: list[float]) -> Range:
    low, high = (round_significant(float(v)) for v in np.percentile(values, RANGE_PERCENTS))
    return low, high
