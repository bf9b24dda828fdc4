"""Frames whose devices are bright: grey values turned round, for data in which both polarities occur (R1)."""

from __future__ import annotations

from typing import Any

import torch
from batchgeneratorsv2.transforms.base.basic_transform import ImageOnlyTransform


class InvertPolarity(ImageOnlyTransform):  # type: ignore[misc]  # the library is not typed
    """Negates a z-scored image; what is outside the field is 0 and stays so."""

    def _apply_to_image(self, img: torch.Tensor, **params: Any) -> torch.Tensor:
        return -img
