"""The training loss: a weighted sum of Dice and focal terms per head, over the network's output levels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ercpseg.documents.plan import LossValues
from ercpseg.losses.functional import augmented_focal, pooled_target, soft_dice


class CompoundLoss(nn.Module):
    """L = Σ_k w_k Σ_h v_h (a_h Dice_h + b_h Focal_h) / Σ_h v_h, levels k, heads h; every number from the plan (R14, R15, R22).

    Called with the network's output, a tensor (n, h, y, x) or a list of levels, and the target (n, h, y, x) at full size.
    The levels' weights are divided by their sum over the levels given, so that the full resolution alone counts as 1.
    """

    head_weight: torch.Tensor
    dice_weight: torch.Tensor
    focal_weight: torch.Tensor
    alpha: torch.Tensor
    gamma: torch.Tensor
    max_pooled: torch.Tensor

    def __init__(self, values: LossValues, heads: Sequence[str]):
        super().__init__()
        self.level_weights = values.level_weights
        for name, numbers in {
            "head_weight": values.head_weight,
            "dice_weight": values.dice_weight,
            "focal_weight": values.focal_weight,
            "alpha": values.focal_alpha,
            "gamma": values.focal_gamma,
        }.items():
            self.register_buffer(name, torch.tensor([float(numbers[h]) for h in heads]))
        self.register_buffer("max_pooled", torch.tensor([h in values.max_pooled for h in heads]))

    def forward(self, output: torch.Tensor | Sequence[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        """A scalar."""
        levels = [output] if isinstance(output, torch.Tensor) else list(output)
        target = target.to(levels[0].dtype)
        loss = target.new_zeros(())
        total = sum(self.level_weights[: len(levels)])
        for level, (logits, weight) in enumerate(zip(levels, self.level_weights, strict=False)):
            if weight:
                loss = loss + weight / total * self._level(
                    logits.float(), pooled_target(target, level, self.max_pooled).float()
                )
        return loss

    def _level(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        dice = soft_dice(probability=logits.sigmoid(), target=target)
        focal = augmented_focal(logits=logits, target=target, alpha=self.alpha, gamma=self.gamma)
        per_head = self.dice_weight * dice + self.focal_weight * focal
        return (self.head_weight * per_head).sum() / self.head_weight.sum()
