"""From the bitmask that is augmented to the channels that are learnt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from batchgeneratorsv2.transforms.base.basic_transform import SegOnlyTransform


class BitmaskToHeads(SegOnlyTransform):  # type: ignore[misc]  # the library is not typed
    """Bitmask (1, y, x) to boolean channels (heads, y, x), structures then parents; −1 (outside) counts as empty."""

    def __init__(self, heads: Mapping[str, int]):
        super().__init__()
        self.bits = torch.tensor(list(heads.values()), dtype=torch.int16)[:, None, None]

    def _apply_to_segmentation(self, segmentation: torch.Tensor, **params: Any) -> torch.Tensor:
        return (segmentation.clamp_min(0).to(torch.int16) & self.bits) != 0
