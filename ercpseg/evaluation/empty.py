"""What every metric is when a mask is empty: decided once, here.

=========== ============ ============================ ===================== =====================================
reference   prediction   Dice, IoU, precision, recall  HD, HD95, ASSD, px    clDice; counted as
=========== ============ ============================ ===================== =====================================
empty       empty        none                          none                  none; right absence (specificity)
empty       something    none                          none                  none; ``invented``, with its pixels
something   empty        0                             diagonal of the frame 0; ``missed``
something   something    formula                       formula               formula
=========== ============ ============================ ===================== =====================================

None is no number: it takes no part in a mean, and the mean's n says so. Why not 1 for two empty masks: a set with many
frames without stones would score high by itself. Why 0 and the diagonal for a miss, precision included: leaving a
missed frame out would reward a method that predicts nothing where it is unsure.
"""

from __future__ import annotations

import math

from ercpseg.documents.scores import METRICS

MISSED = 0.0
"""Overlap and centreline metrics of a frame whose structure was missed."""


def diagonal_px(shape: tuple[int, ...]) -> float:
    """Length of the frame's diagonal in pixels, the distance that stands for a miss.

    >>> diagonal_px((3, 4))
    5.0
    """
    return math.hypot(*shape)


def metrics_when_empty(
    *, reference_px: int, prediction_px: int, shape: tuple[int, ...]
) -> dict[str, float | None] | None:
    """All metrics by the table above, or None when neither mask is empty and the formulas decide.

    >>> metrics_when_empty(reference_px=7, prediction_px=0, shape=(3, 4))["hd_px"]
    5.0
    """
    if reference_px == 0:
        return dict.fromkeys(METRICS, None)
    if prediction_px == 0:
        return {name: diagonal_px(shape) if name.endswith("_px") else MISSED for name in METRICS}
    return None
