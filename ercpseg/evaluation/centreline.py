"""Agreement of centrelines: clDice (Shit et al. 2021, arXiv 2003.07311) on hard skeletons."""

from __future__ import annotations

import numpy as np

from ercpseg.evaluation.empty import MISSED
from ercpseg.geometry.crop import require_same_shape
from ercpseg.geometry.skeleton import skeletonise
from ercpseg.structures import Mask


def topology_precision(*, reference: Mask, prediction: Mask) -> float:
    """Share of the prediction's skeleton that lies in the reference; both masks (y, x) not empty."""
    return _share(skeletonise(prediction), within=reference)


def topology_sensitivity(*, reference: Mask, prediction: Mask) -> float:
    """Share of the reference's skeleton that lies in the prediction; both masks (y, x) not empty."""
    return _share(skeletonise(reference), within=prediction)


def cldice(*, reference: Mask, prediction: Mask) -> float | None:
    """Harmonic mean of topology precision and sensitivity, 0 to 1.

    None when the reference (y, x) is empty, 0 when only the prediction is.

    Raises
    ------
    ValueError
        when they are not boolean (y, x) arrays of one shape.
    """
    require_same_shape(reference=reference, prediction=prediction)
    if not reference.any():
        return None
    if not prediction.any():
        return MISSED
    precise = topology_precision(reference=reference, prediction=prediction)
    sensitive = topology_sensitivity(reference=reference, prediction=prediction)
    return 2 * precise * sensitive / (precise + sensitive) if precise + sensitive > 0 else 0.0


def _share(skeleton: Mask, *, within: Mask) -> float:
    return float(np.count_nonzero(skeleton & within) / np.count_nonzero(skeleton))
