"""The picture of ``bench``: where the time of a frame goes, and how much it varies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ercpseg.reporting.figures import _INK, _figure, _panel, _png, _title

COLOURS = ("#4c78a8", "#72b7b2", "#f58518", "#e45756", "#b279a2")


def latency_figure(milliseconds: Mapping[str, NDArray[np.float64]], title: str) -> bytes:
    """PNG: the steps stacked call by call on the left, the distribution of whole calls with p50 and p95 on the right."""
    figure = _figure()
    left, right = _panel(figure, 1), _panel(figure, 2)
    calls = np.arange(len(next(iter(milliseconds.values()))))
    left.stackplot(calls, *milliseconds.values(), labels=list(milliseconds), colors=COLOURS[: len(milliseconds)])
    left.legend(loc="upper right", fontsize=8, frameon=False, labelcolor=_INK)
    total = np.sum(list(milliseconds.values()), axis=0)
    left.set_ylim(0, 1.6 * float(np.percentile(total, 95)))
    left.set_ylabel("ms", color=_INK, fontsize=9)
    _title(left, title, "call")
    right.hist(total, bins=min(40, max(5, len(total) // 3)), color=COLOURS[0])
    for q, style in ((50, "-"), (95, "--")):
        value = float(np.percentile(total, q))
        right.axvline(value, color=_INK, linestyle=style, linewidth=1, label=f"p{q} {value:.1f} ms")
    right.legend(fontsize=8, frameon=False, labelcolor=_INK)
    _title(right, "whole calls", "ms")
    return _png(figure)
