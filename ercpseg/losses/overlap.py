"""Losses of areas: Jaccard, Tversky, the weighted Dice of the light U-Net, the area prior. Shapes as in ``functional``.

All papers here but Martin 2022 and FRA-Net write their losses for exclusive classes with softmax. Heads here are sigmoids
that may overlap, so each head is one such problem with two classes, the structure and its complement.
"""

from __future__ import annotations

import torch

from ercpseg.losses.functional import Number, area_sum, per_head, root, soft_dice


def soft_jaccard(
    *, probability: torch.Tensor, target: torch.Tensor, smooth: Number = 1.0, per_image: bool = False
) -> torch.Tensor:
    """1 − soft Jaccard per head: (n, h, y, x) twice → (h,).

    J = (Σ p·t + s) / (Σ p + Σ t − Σ p·t + s) (Pishro 2026, section 3; printed there without the "1 −").
    """
    both = area_sum(probability * target, per_image)
    union = area_sum(probability, per_image) + area_sum(target, per_image) - both
    return per_head(1 - (both + smooth) / (union + smooth))


def weighted_dice(
    *,
    probability: torch.Tensor,
    target: torch.Tensor,
    positive_weight: Number = 10.0,
    smooth: Number = 1.0,
    per_image: bool = False,
) -> torch.Tensor:
    """1 − Dice over the structure and its complement, weighted 10:1: (n, h, y, x) twice → (h,).

    D = (2 Σ_c w_c Σ p_c·t_c + s) / (Σ_c w_c (Σ p_c + Σ t_c) + s), c = structure (w = ``positive_weight``), background (w = 1).
    A reading of Gherardini 2020, equation 2 with the "1/10 ratio" of section 3.3, that weighs the sums over both maps; the
    recipe takes :func:`pixel_weighted_dice`, since an empty mask is a local optimum of this one where a structure is small (ADR
    0035). The paper minimises −D, which differs by a constant. Its network gives two complementary maps; here the background
    is 1 − p.
    """
    both = area_sum(probability * target, per_image)
    total = area_sum(probability, per_image) + area_sum(target, per_image)
    pixels = target.shape[2] * target.shape[3] * (1 if per_image else target.shape[0])
    outside = pixels - total + both  # Σ (1−p)(1−t)
    numerator = 2 * (positive_weight * both + outside) + smooth
    return per_head(1 - numerator / (positive_weight * total + 2 * pixels - total + smooth))


def mean_dice(
    *,
    probability: torch.Tensor,
    target: torch.Tensor,
    positive_weight: Number = 10.0,
    smooth: Number = 1.0,
    per_image: bool = False,
) -> torch.Tensor:
    """1 − the mean, weighted 10:1, of the Dice of the structure and of its complement: (n, h, y, x) twice → (h,).

    D = (w D₊ + D₋) / (w + 1), w = ``positive_weight``. A reading of Gherardini 2020's "1/10 ratio" that weighs the Dices of
    its two complementary maps instead of their pixels.
    """
    front = soft_dice(probability=probability, target=target, smooth=smooth, per_image=per_image)
    back = soft_dice(probability=1 - probability, target=1 - target, smooth=smooth, per_image=per_image)
    return (positive_weight * front + back) / (positive_weight + 1)


def pixel_weighted_dice(
    *,
    probability: torch.Tensor,
    target: torch.Tensor,
    positive_weight: Number = 10.0,
    smooth: Number = 1.0,
    per_image: bool = False,
) -> torch.Tensor:
    """1 − Dice of the structure over weighted pixels: (n, h, y, x) twice → (h,).

    D = (2 Σ_k v_k p_k t_k + s) / (Σ_k v_k (p_k + t_k) + s), v_k = w = ``positive_weight`` where t_k = 1, and 1 elsewhere:
    equation 2 of Gherardini 2020 with the weights of section 3.3, "a 1/10 ratio between the background and the foreground
    (catheter) pixel weights", on the pixels as its cross-entropy has them. With soft counts 2w·TP / (2w·TP + w·FN + FP).
    """
    both = area_sum(probability * target, per_image)
    wanted, found = area_sum(target, per_image), area_sum(probability, per_image)
    numerator = 2 * positive_weight * both + smooth
    return per_head(1 - numerator / (positive_weight * (wanted + both) + found - both + smooth))


def tversky_index(
    *, probability: torch.Tensor, target: torch.Tensor, fn_weight: Number, smooth: Number, per_image: bool
) -> torch.Tensor:
    """Tversky index, (h,) or per image (n, h): T = (TP + s) / (TP + β·FN + (1−β)·FP + s) of soft counts."""
    both = area_sum(probability * target, per_image)
    missed = area_sum(target, per_image) - both
    extra = area_sum(probability, per_image) - both
    return (both + smooth) / (both + fn_weight * missed + (1 - fn_weight) * extra + smooth)


def tversky(
    *,
    probability: torch.Tensor,
    target: torch.Tensor,
    fn_weight: Number = 0.7,
    exponent: Number = 1.0,
    smooth: Number = 1.0,
    per_image: bool = False,
) -> torch.Tensor:
    """(1 − T)^γ per head: (n, h, y, x) twice → (h,); β = ``fn_weight``, γ = ``exponent``.

    γ = 1 is the Tversky loss (Salehi 2017, β = 0.7), β = ½ then Dice. γ = 0.75 is the focal Tversky loss (Abraham 2019
    prints 1/γ with γ = 4/3).
    """
    index = tversky_index(
        probability=probability, target=target, fn_weight=fn_weight, smooth=smooth, per_image=per_image
    )
    loss = 1 - index
    return per_head(root(loss, exponent) if isinstance(exponent, torch.Tensor) or exponent != 1 else loss)


def area_prior(*, probability: torch.Tensor, frequency: Number, per_image: bool = False) -> torch.Tensor:
    """((p̂ − p̄) / p̄)² per head, p̂ the mean probability, p̄ = ``frequency`` known from the data: (n, h, y, x) → (h,).

    One of two readings of the guidewire's regularisation in Martin 2022 ("based on the percentage of the guidewire in the
    images"); the other is :func:`ercpseg.losses.pixelwise.class_balanced`. Over the batch by default: single frames may
    lack the structure.
    """
    found = area_sum(probability, per_image) / (probability[0, 0].numel() * (1 if per_image else probability.shape[0]))
    return per_head(((found - frequency) / frequency) ** 2)
