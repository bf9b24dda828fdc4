"""What the networks of this package share at their end: 1×1 convolutions to logits, one per resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


def check_auxiliary(deep_supervision: int, levels: int) -> None:
    """Refuse a number of auxiliary outputs that ``levels`` levels do not have.

    Raises
    ------
    ValueError
        unless ``deep_supervision`` is 0 to ``levels`` − 2.
    """
    if not 0 <= deep_supervision <= levels - 2:
        raise ValueError(f"{deep_supervision} auxiliary outputs; expected 0 to {levels - 2}")


class LevelHeads(nn.Module):
    """Logits of the decoder's levels, highest resolution first: ``channels`` per level → ``heads``."""

    def __init__(self, channels: Sequence[int], heads: int):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(c, heads, 1) for c in channels)

    def forward(self, decoded: Sequence[torch.Tensor], all_levels: bool) -> list[torch.Tensor]:
        """Decoder maps, highest resolution first → logits of all levels, or of the first alone."""
        count = len(self.layers) if all_levels else 1
        return [layer(x) for layer, x in zip(list(self.layers)[:count], decoded, strict=False)]
