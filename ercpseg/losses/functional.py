"""Loss formulas as pure functions. Shapes: n frames, h heads, (y, x) pixels. Logits first, then target, keyword-only."""

from __future__ import annotations

import torch
from torch.nn import functional


def soft_dice(*, probability: torch.Tensor, target: torch.Tensor, smooth: float = 1.0) -> torch.Tensor:
    """1 − soft Dice per head over the whole batch: (n, h, y, x) twice → (h,).

    D = (2 Σ p·t + s) / (Σ p + Σ t + s), sums over frames and pixels ("batch Dice", R14), so that a frame without the
    structure does not count as a failure.
    """
    axes = (0, 2, 3)
    intersection = (probability * target).sum(axes)
    total = probability.sum(axes) + target.sum(axes)
    return 1 - (2 * intersection + smooth) / (total + smooth)


def augmented_focal(
    *, logits: torch.Tensor, target: torch.Tensor, alpha: torch.Tensor, gamma: torch.Tensor
) -> torch.Tensor:
    """Augmented focal loss per head (FRA-Net, Zhou et al. 2020): (n, h, y, x) twice, (h,) twice → (h,).

    L = −α (1−p)^γ log p where t = 1, and −p^γ log(1−p) where t = 0: α weighs the positives only. Divided by the mean
    weight 1 + (α−1)·t̄ (R15), so that α moves attention and not the size of the gradient. γ = 0, α = 1 is cross-entropy.
    """
    axes = (0, 2, 3)
    shape = (1, -1, 1, 1)
    target = target.to(logits.dtype)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    if bool((gamma != 0).any()):
        # exp(−entropy) is the probability of the true class; one minus it is stable by expm1.
        entropy = entropy * (-torch.expm1(-entropy)).clamp_min(1e-6).pow(gamma.view(shape))
    weight = 1 + (alpha.view(shape) - 1) * target
    return (entropy * weight).mean(axes) / weight.mean(axes)


def pooled_target(target: torch.Tensor, level: int, max_pooled: torch.Tensor) -> torch.Tensor:
    """Target (n, h, y, x) for the output ``level`` halvings below: max-pooled where ``max_pooled`` (h,), else by majority.

    Nearest sampling, as in nnU-Net, drops 25 % of a 3-px wire at ¼ and 62 % at ⅛ (R22).
    """
    if level == 0:
        return target
    factor = 2**level
    any_pixel = functional.max_pool2d(target, factor)
    majority = (functional.avg_pool2d(target, factor) >= 0.5).to(target.dtype)
    return torch.where(max_pooled.view(1, -1, 1, 1), any_pixel, majority)
