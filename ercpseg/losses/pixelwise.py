"""Losses of single pixels: cross-entropy and its weightings, focal, unified focal, GHM-C. Shapes as in ``functional``.

A sigmoid head is a two-class problem, so the categorical forms of the papers keep both classes: −log p where the structure
is, −log(1 − p) where it is not.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from ercpseg.losses.functional import Number, column, per_head, power, root, wrongness
from ercpseg.losses.overlap import tversky_index

AXES = (0, 2, 3)


def _entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(logits, target.to(logits.dtype), reduction="none")


def cross_entropy(
    *,
    logits: torch.Tensor,
    target: torch.Tensor,
    positive_weight: Number = 1.0,
    negative_weight: Number = 1.0,
    normalise: bool = False,
) -> torch.Tensor:
    """Mean of −w₊ t log p − w₋ (1−t) log(1−p) per head: (n, h, y, x) twice → (h,); ``normalise`` divides by the mean weight.

    10:1 is Gherardini 2020's alternative to Dice (section 3.3).
    """
    target = target.to(logits.dtype)
    weight = column(negative_weight) + (column(positive_weight) - column(negative_weight)) * target
    loss = (_entropy(logits, target) * weight).mean(AXES)
    return loss / weight.mean(AXES) if normalise else loss


def inverse_frequency(*, logits: torch.Tensor, target: torch.Tensor, frequency: Number) -> torch.Tensor:
    """Cross-entropy with w₊ = (1 − p̄)/p̄, w₋ = 1, p̄ = ``frequency``: (n, h, y, x) twice → (h,).

    Pishro 2026's WPCCEL, W_c = P̄_background / P̄_c (printed with the wrong formula), not divided by the mean weight, as there.
    """
    return cross_entropy(logits=logits, target=target, positive_weight=(1 - frequency) / frequency)


def class_balanced(*, logits: torch.Tensor, target: torch.Tensor, frequency: Number) -> torch.Tensor:
    """Cross-entropy with w₊ = 1 − p̄, w₋ = p̄, divided by the mean weight: (n, h, y, x) twice → (h,).

    Default reading of the guidewire's regularisation in Martin 2022, which "constrains the model to prioritize guidewire
    pixels instead of background"; p̄ = ``frequency`` "as learned from the database".
    """
    return cross_entropy(
        logits=logits, target=target, positive_weight=1 - frequency, negative_weight=frequency, normalise=True
    )


def focal(
    *,
    logits: torch.Tensor,
    target: torch.Tensor,
    positive_weight: Number = 2.0,
    negative_weight: Number = 2.0,
    gamma: Number = 2.0,
) -> torch.Tensor:
    """Mean of −w (1 − p_t)^γ log p_t per head, p_t of the true class: (n, h, y, x) twice → (h,).

    Both weights 2: categorical focal loss of Pishro 2026, where α = 2 for all classes only sets its ratio to Dice and γ is
    not given. 0.25 and 0.75: Lin et al. 2017, equation 5, FRA-Net's baseline.
    """
    target = target.to(logits.dtype)
    entropy = _entropy(logits, target)
    weight = column(negative_weight) + (column(positive_weight) - column(negative_weight)) * target
    return (weight * power(wrongness(entropy), column(gamma)) * entropy).mean(AXES)


def unified_focal(
    *,
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: Number = 0.5,
    delta: Number = 0.6,
    gamma: Number = 0.5,
    smooth: Number = 1.0,
    per_image: bool = False,
) -> torch.Tensor:
    """Asymmetric unified focal loss per head (Yeung et al. 2022): (n, h, y, x) twice → (h,).

    λ·½[(1 − T₀) + (1 − T₁)^(1−γ)] + (1 − λ)·mean[δ t (−log p) + (1 − δ)(1 − t) p^γ (−log(1−p))]. T₁ is the Tversky index of
    the structure and T₀ of its complement, both with δ on what is missed: the focal power plays down the background
    and plays up the structure. λ = ``weight``. The authors smooth with 10⁻⁷ and sum per image; both are numbers here.
    """
    target = target.to(logits.dtype)
    probability = logits.sigmoid()
    arguments = {"fn_weight": delta, "smooth": smooth, "per_image": per_image}
    front = 1 - tversky_index(probability=probability, target=target, **arguments)  # type: ignore[arg-type]
    back = 1 - tversky_index(probability=1 - probability, target=1 - target, **arguments)  # type: ignore[arg-type]
    region = per_head(back + root(front, 1 - gamma)) / 2
    entropy = _entropy(logits, target)
    share = column(delta)
    pixels = share * target + (1 - share) * (1 - target) * power(probability, column(gamma))
    return weight * region + (1 - weight) * (pixels * entropy).mean(AXES)


def gradient_counts(*, logits: torch.Tensor, target: torch.Tensor, bins: int) -> torch.Tensor:
    """How many pixels have the gradient norm |p − t| in each of ``bins`` equal parts of 0 to 1: (h, bins)."""
    index = _bin(logits, target, bins).transpose(0, 1).flatten(1)
    counts = torch.zeros(index.shape[0], bins, dtype=logits.dtype, device=logits.device)
    # Sums of ones are exact up to 2²⁴ whatever their order.
    return counts.scatter_add_(1, index, torch.ones_like(index, dtype=logits.dtype))


def ghm_c(*, logits: torch.Tensor, target: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Gradient-harmonised classification loss per head (Li, Liu, Wang 2019): (n, h, y, x) twice, (h, bins) → (h,).

    L = Σ_i CE_i / GD(g_i), GD(g) = R_bin(g) · M the gradient density: pixels with the same gradient norm g = |p − t|
    share the weight of their bin, so neither the many easy ones nor the outliers decide. ``counts`` are the R, of this
    batch (:func:`gradient_counts`) or their running mean; no gradient goes through them.
    """
    index = _bin(logits, target, counts.shape[1])
    frames, heads = logits.shape[:2]
    density = counts.detach().clamp_min(1) * counts.shape[1]
    flat = index.transpose(0, 1).flatten(1)
    per_pixel = density.gather(1, flat).view(heads, frames, *logits.shape[2:]).transpose(0, 1)
    return (_entropy(logits, target) / per_pixel).sum(AXES)


def _bin(logits: torch.Tensor, target: torch.Tensor, bins: int) -> torch.Tensor:
    norm = (logits.detach().sigmoid() - target.to(logits.dtype)).abs()
    return (norm * bins).long().clamp_max(bins - 1)
