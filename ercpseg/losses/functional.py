"""Loss formulas as pure functions. Shapes: n frames, h heads, (y, x) pixels. Logits first, then target, keyword-only.

A number of a formula may be a float, or a tensor (h,) with one number per head. Results are (h,), one loss per head.
"""

from __future__ import annotations

import torch
from torch.nn import functional

Number = float | torch.Tensor


def area_sum(values: torch.Tensor, per_image: bool) -> torch.Tensor:
    """Sum of (n, h, y, x) over pixels: (n, h) per image, or (h,) over the batch."""
    return values.sum((2, 3)) if per_image else values.sum((0, 2, 3))


def per_head(values: torch.Tensor) -> torch.Tensor:
    """Mean over images of (n, h), or (h,) as it is."""
    return values.mean(0) if values.ndim == 2 else values


def column(number: Number) -> Number:
    """A number per head (h,) shaped for (n, h, y, x)."""
    return number.view(1, -1, 1, 1) if isinstance(number, torch.Tensor) and number.ndim else number


def power(base: torch.Tensor, exponent: Number) -> torch.Tensor:
    """base^exponent for bases in 0 to 1 whose gradient stays finite: below 10⁻⁶ the base counts as constant."""
    return base.clamp_min(1e-6).pow(exponent)


def root(base: torch.Tensor, exponent: Number) -> torch.Tensor:
    """base^exponent, exactly 0 at 0: below 10⁻⁶ a straight line, so that the gradient stays finite for exponents below 1."""
    return base * base.clamp_min(1e-6).pow(exponent - 1)


def soft_dice(
    *, probability: torch.Tensor, target: torch.Tensor, smooth: Number = 1.0, per_image: bool = False
) -> torch.Tensor:
    """1 − soft Dice per head: (n, h, y, x) twice → (h,).

    D = (2 Σ p·t + s) / (Σ p + Σ t + s). Sums over frames and pixels ("batch Dice", R14), so that a frame without the
    structure does not count as a failure; or per image, then the mean over images, where an empty frame costs what
    is found in it: Σp / (Σp + s).
    """
    intersection = area_sum(probability * target, per_image)
    total = area_sum(probability, per_image) + area_sum(target, per_image)
    return per_head(1 - (2 * intersection + smooth) / (total + smooth))


def wrongness(entropy: torch.Tensor) -> torch.Tensor:
    """1 − p of the true class, from its cross-entropy −log p; exact where p is near 1."""
    return -torch.expm1(-entropy)


def augmented_focal(
    *, logits: torch.Tensor, target: torch.Tensor, alpha: Number, gamma: Number, normalise: bool = True
) -> torch.Tensor:
    """Augmented focal loss per head (FRA-Net, Zhou et al. 2020, equation 4): (n, h, y, x) twice, (h,) twice → (h,).

    L = −α (1−p)^γ log p where t = 1, and −p^γ log(1−p) where t = 0: α weighs the positives only. ``normalise`` divides the
    mean over pixels by the mean weight 1 + (α−1)·t̄ (R15), so that α moves attention and not the size of the gradient;
    the paper does not. γ = 0, α = 1 is cross-entropy.
    """
    axes = (0, 2, 3)
    target = target.to(logits.dtype)
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    if isinstance(gamma, torch.Tensor) or gamma:
        entropy = entropy * power(wrongness(entropy), column(gamma))
    weight = 1 + (column(alpha) - 1) * target
    loss = (entropy * weight).mean(axes)
    return loss / weight.mean(axes) if normalise else loss


def pooled_target(target: torch.Tensor, level: int, max_pooled: torch.Tensor | bool) -> torch.Tensor:
    """Target (n, h, y, x) for the output ``level`` halvings below: max-pooled where ``max_pooled`` (h,), else by majority.

    Nearest sampling, as in nnU-Net, drops 25 % of a 3-px wire at ¼ and 62 % at ⅛ (R22).
    """
    if level == 0:
        return target
    factor = 2**level
    if max_pooled is True:
        return functional.max_pool2d(target, factor)
    majority = (functional.avg_pool2d(target, factor) >= 0.5).to(target.dtype)
    if max_pooled is False:
        return majority
    return torch.where(max_pooled.view(1, -1, 1, 1), functional.max_pool2d(target, factor), majority)
