"""Logits and masks that the tests of losses share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ercpseg.losses import LOSSES

HEADS = ("wire", "duct", "parent")
NEEDED: dict[str, dict[str, Any]] = {
    "inverse-frequency": {"frequency": 0.2},
    "class-balance": {"frequency": 0.2},
    "area-prior": {"frequency": 0.2},
}
"""Numbers without a default."""


def tensor(array: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(array, np.float64))


def logits_and_masks(*shape: int, seed: int = 0, share: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return tensor(rng.normal(size=shape) * 2), tensor(rng.random(shape) < share)


def term(name: str, heads: tuple[str, ...] = HEADS, **numbers: Any) -> torch.nn.Module:
    return LOSSES[name](heads=heads, **{**NEEDED.get(name, {}), **numbers}).double()


def one(values: list[Any]) -> torch.Tensor:
    """Rows as one frame of one head (1, 1, y, x)."""
    return tensor(values)[None, None]


def logit(probability: float) -> float:
    return float(np.log(probability / (1 - probability)))
