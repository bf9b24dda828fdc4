"""Losses of pixels, worked out, by loops, and after the authors' formulas."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
import torch

from ercpseg.losses.functional import augmented_focal
from ercpseg.losses.pixelwise import (
    class_balanced,
    cross_entropy,
    focal,
    ghm_c,
    gradient_counts,
    inverse_frequency,
    unified_focal,
)
from tests.unit.losses.samples import logit, logits_and_masks, one, term

TARGET = one([[1, 0], [0, 0]])
UNSURE = torch.zeros_like(TARGET)
"""Logits of p = ½."""
LN2 = math.log(2)


def test_worked_out_on_four_pixels() -> None:
    """p = ½ everywhere, so each pixel costs ln 2; one of four is true."""
    four = {"logits": UNSURE, "target": TARGET}
    assert cross_entropy(**four).item() == pytest.approx(LN2)
    assert cross_entropy(**four, positive_weight=10.0).item() == pytest.approx(13 / 4 * LN2)
    assert cross_entropy(**four, positive_weight=10.0, normalise=True).item() == pytest.approx(LN2)
    # p̄ = ¼: w₊ = 3, w₋ = 1
    assert inverse_frequency(**four, frequency=0.25).item() == pytest.approx(6 / 4 * LN2)
    assert focal(**four).item() == pytest.approx(2 * 0.25 * LN2)
    assert focal(**four, positive_weight=0.25, negative_weight=0.75).item() == pytest.approx(
        (0.25 + 3 * 0.75) / 4 * 0.25 * LN2
    )
    # FRA-Net as printed: (100·(½)^2.5 + 3·(½)^2.5)·ln 2 / 4
    assert augmented_focal(**four, alpha=100.0, gamma=2.5, normalise=False).item() == pytest.approx(
        103 / 4 * 0.5**2.5 * LN2
    )


def test_class_balance_worked_out() -> None:
    # a true pixel with p = ½ (ln 2), a false one with p = ¼ (ln 4/3); p̄ = ¼: weights ¾ and ¼, their mean ½
    logits = one([[0, logit(0.25)]])
    result = class_balanced(logits=logits, target=one([[1, 0]]), frequency=0.25)
    assert result.item() == pytest.approx((0.75 * LN2 + 0.25 * math.log(4 / 3)) / 2 / 0.5)


def test_by_loops() -> None:
    logits, target = logits_and_masks(2, 3, 4, 5)
    p, t = logits.sigmoid().numpy(), target.numpy()
    found = {
        "weighted": cross_entropy(logits=logits, target=target, positive_weight=5.0, negative_weight=0.5),
        "focal": focal(logits=logits, target=target, positive_weight=3.0, negative_weight=0.7, gamma=1.5),
        "printed": augmented_focal(logits=logits, target=target, alpha=100.0, gamma=2.5, normalise=False),
        "frequency": inverse_frequency(logits=logits, target=target, frequency=0.1),
    }
    for h in range(3):
        sums = dict.fromkeys(found, 0.0)
        for n, y, x in product(range(2), range(4), range(5)):
            q = p[n, h, y, x]
            if t[n, h, y, x]:
                sums["weighted"] -= 5.0 * math.log(q)
                sums["focal"] -= 3.0 * (1 - q) ** 1.5 * math.log(q)
                sums["printed"] -= 100 * (1 - q) ** 2.5 * math.log(q)
                sums["frequency"] -= 9.0 * math.log(q)
            else:
                sums["weighted"] -= 0.5 * math.log(1 - q)
                sums["focal"] -= 0.7 * q**1.5 * math.log(1 - q)
                sums["printed"] -= q**2.5 * math.log(1 - q)
                sums["frequency"] -= math.log(1 - q)
        for name, values in found.items():
            assert values[h].item() == pytest.approx(sums[name] / 40), name


def test_one_law_of_weights() -> None:
    """α = 0.1·(1 − p)/p gives the positives a tenth of the negatives' weight: FRA-Net's 100 at 1:1000 (R15)."""
    for share in (0.001, 0.01):
        target = torch.zeros(1, 1, 100, 100, dtype=torch.float64)
        target.view(-1)[: int(share * 10_000)] = 1
        alpha = 0.1 * (1 - share) / share
        weight = 1 + (alpha - 1) * target
        assert (weight * target).sum() / (weight * (1 - target)).sum() == pytest.approx(0.1)


def keras_unified(y_true: np.ndarray, y_pred: np.ndarray, weight: float, delta: float, gamma: float) -> float:
    """The authors' asymmetric loss for (n, y, x, 2), background first, written out after their formulas."""
    eps = 1e-7
    y_pred = np.clip(y_pred, eps, 1 - eps)
    tp = (y_true * y_pred).sum((1, 2))
    fn = (y_true * (1 - y_pred)).sum((1, 2))
    fp = ((1 - y_true) * y_pred).sum((1, 2))
    index = (tp + eps) / (tp + delta * fn + (1 - delta) * fp + eps)
    region = np.mean([1 - index[:, 0], (1 - index[:, 1]) * (1 - index[:, 1]) ** -gamma])
    entropy = -y_true * np.log(y_pred)
    back = (1 - delta) * (1 - y_pred[..., 0]) ** gamma * entropy[..., 0]
    pixels = np.mean(back + delta * entropy[..., 1])
    return float(weight * region + (1 - weight) * pixels)


@pytest.mark.parametrize(("weight", "delta", "gamma"), [(0.5, 0.6, 0.5), (0.2, 0.7, 0.3), (1.0, 0.5, 0.0)])
def test_unified_focal_is_the_authors(weight: float, delta: float, gamma: float) -> None:
    logits, target = logits_and_masks(3, 1, 6, 5)
    p, t = logits.sigmoid().numpy()[:, 0], target.numpy()[:, 0]
    expected = keras_unified(np.stack([1 - t, t], -1), np.stack([1 - p, p], -1), weight, delta, gamma)
    result = unified_focal(
        logits=logits, target=target, weight=weight, delta=delta, gamma=gamma, smooth=1e-7, per_image=True
    )
    assert result.item() == pytest.approx(expected, rel=1e-5)


# -- gradient harmonising --------------------------------------------------------------------------------------------


def test_ghm_worked_out() -> None:
    """Three easy pixels with g = 0.15 and one hard one with g = 0.85 in ten bins: both bins weigh alike."""
    logits = one([[logit(0.15), logit(0.15)], [logit(0.15), logit(0.15)]])
    both = {"logits": logits, "target": TARGET}
    counts = gradient_counts(**both, bins=10)
    assert counts.tolist() == [[0, 3, 0, 0, 0, 0, 0, 0, 1, 0]]
    easy, hard = -math.log(0.85), -math.log(0.15)
    assert ghm_c(**both, counts=counts).item() == pytest.approx((3 * easy / 3 + hard / 1) / 10)


def test_ghm_with_one_bin_is_cross_entropy() -> None:
    logits, target = logits_and_masks(2, 3, 5, 5)
    both = {"logits": logits, "target": target}
    assert torch.allclose(ghm_c(**both, counts=gradient_counts(**both, bins=1)), cross_entropy(**both))


def test_ghm_counts_every_pixel_once() -> None:
    logits, target = logits_and_masks(2, 3, 5, 7)
    counts = gradient_counts(logits=logits, target=target, bins=7)
    norm = (logits.sigmoid() - target).abs().numpy()
    for h in range(3):
        expected, _ = np.histogram(norm[:, h], bins=7, range=(0, 1))
        assert counts[h].tolist() == expected.tolist()
    extreme = torch.tensor([[[[60.0, -60.0]]]])
    assert gradient_counts(logits=extreme, target=torch.zeros_like(extreme), bins=3).tolist() == [[1, 0, 1]]


def test_ghm_counts_run() -> None:
    """The first batch sets the counts; then they move by a quarter; validation leaves them alone."""
    loss = term("ghm-c", heads=("wire",), bins=2, momentum=0.75)
    easy, hard = torch.full_like(TARGET, -2.0), torch.full_like(TARGET, 2.0)
    empty = torch.zeros_like(TARGET)
    loss(easy, empty)
    assert loss.counts.tolist() == [[4, 0]]
    loss(hard, empty)
    assert loss.counts.tolist() == [[3, 1]]
    with torch.no_grad():
        loss(hard, empty)
    assert loss.counts.tolist() == [[3, 1]]
    # the hard bin holds 1 by the running mean: 4·CE / (1·2)
    expected = 4 * cross_entropy(logits=hard, target=empty).item() / (0.75 * 3 * 0 + (0.75 * 1 + 0.25 * 4) * 2)
    assert loss(hard, empty).item() == pytest.approx(expected)
