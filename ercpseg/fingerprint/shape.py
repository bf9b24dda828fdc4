"""Sizes of frames, and the common scale to which lengths in different frames are brought."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.fingerprint import Percentiles

Size = tuple[int, int]
PERCENTS = (5, 10, 50, 90, 95)


def reference_long_side_px(sizes: Sequence[Size]) -> int:
    """Median of the frames' longer sides; lengths of all frames are scaled to it.

    >>> reference_long_side_px([(512, 512), (1024, 768), (512, 400)])
    512
    """
    return round(float(np.median([max(size) for size in sizes])))


def long_side_spread(sizes: Sequence[Size]) -> float:
    """(largest − smallest longer side) / median longer side."""
    sides = [max(size) for size in sizes]
    return (max(sides) - min(sides)) / float(np.median(sides))


def count_shapes(sizes: Iterable[Size]) -> dict[str, int]:
    """'height x width' to the number of frames, in the order of the text."""
    return dict(sorted(Counter(f"{height} x {width}" for height, width in sizes).items()))


def percentiles(values: Sequence[float] | NDArray[np.floating], n: int | None = None) -> Percentiles | None:
    """Five percentiles by linear interpolation; ``n`` defaults to the number of values. None when there are none."""
    if len(values) == 0:
        return None
    p05, p10, p50, p90, p95 = (round_significant(float(v)) for v in np.percentile(np.asarray(values), PERCENTS))
    return Percentiles(n=len(values) if n is None else n, p05=p05, p10=p10, p50=p50, p90=p90, p95=p95)


def round_significant(value: float, digits: int = 6) -> float:
    """Round to significant digits, so that documents do not differ by the last bit between machines.

    >>> round_significant(0.0123456789)
    0.0123457
    """
    return float(f"{value:.{digits}g}")
