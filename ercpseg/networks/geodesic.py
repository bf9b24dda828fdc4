"""How near each pixel is to the endoscope along the instrument, from a probability map, without leaving the device."""

from __future__ import annotations

import torch
from torch.nn import functional

SCALE = 8
"""Paths are followed on a grid of cells of this many pixels."""
FINE = 4
"""The endoscope is told from the wire on a grid of cells of this many pixels."""
ON_INSTRUMENT = 0.05
"""A step on the instrument costs this share of a step off it."""


def nearness(instrument: torch.Tensor, *, opening_px: int, decay_px: float, reach_px: int) -> torch.Tensor:
    """exp(−d) for the geodesic distance d to the endoscope: probability (n, 1, y, x) → (n, 1, y, x) within 0 to 1.

    The endoscope is what an opening by ``opening_px`` leaves of ``instrument``: wires vanish, the shaft stays. A way of
    ``decay_px`` off the instrument costs 1, on it :data:`ON_INSTRUMENT`, in between in proportion. Diagonal steps count as
    straight ones (chessboard metric). Longer ways than ``reach_px`` give 0. y and x must be multiples of 8.

    The product form r ← max(r, s · max over the 3×3 neighbours of r), s = exp(−cost), is Bellman and Ford's relaxation of
    the shortest path with d = −log r; ``reach_px`` / 8 rounds are fixed in advance, so that nothing depends on the data.

    No gradient goes through: the result is **detached**. A shortest path hangs on single cells, so its gradient would be
    one thin noisy line of pixels, at the price of storing every round. Stage 1 learns from stage 2 through its map.
    """
    with torch.no_grad():
        fine = functional.avg_pool2d(instrument.detach().float(), FINE)
        kernel = 2 * max(1, round((opening_px / FINE - 1) / 2)) + 1  # odd, so that it has a middle
        reached = functional.max_pool2d(_opened(fine, kernel), SCALE // FINE)
        cells = functional.max_pool2d(instrument.detach().float(), SCALE)
        step = SCALE / decay_px * (1 - (1 - ON_INSTRUMENT) * cells)
        kept = torch.exp(-step)
        for _ in range(max(1, round(reach_px / SCALE))):
            reached = torch.maximum(reached, kept * functional.max_pool2d(reached, 3, 1, 1))
        return functional.interpolate(reached, scale_factor=float(SCALE), mode="bilinear", align_corners=False)


def _opened(image: torch.Tensor, kernel: int) -> torch.Tensor:
    """Grey opening by a square of ``kernel`` cells; beyond the frame counts as whatever the border is."""
    margin = kernel // 2
    eroded = -functional.max_pool2d(-image, kernel, 1, margin)
    return functional.max_pool2d(eroded, kernel, 1, margin)
