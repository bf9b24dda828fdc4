"""Losses of areas, worked out on four pixels and by loops."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch

from ercpseg.losses.functional import soft_dice
from ercpseg.losses.overlap import area_prior, mean_dice, pixel_weighted_dice, soft_jaccard, tversky, weighted_dice
from tests.unit.losses.samples import logits_and_masks, one

TARGET = one([[1, 0], [0, 0]])
HALF = torch.full_like(TARGET, 0.5)


def test_worked_out_on_four_pixels() -> None:
    """p = ½ everywhere, one pixel of four is true: Σpt = ½, Σp = 2, Σt = 1; smoothing 1."""
    four = {"probability": HALF, "target": TARGET}
    assert soft_dice(**four).item() == pytest.approx(1 - 2 / 4)
    assert soft_jaccard(**four).item() == pytest.approx(1 - 1.5 / 3.5)
    # missed ½, extra 1½, β = 0.7: T = 1.5 / (0.5 + 0.35 + 0.45 + 1)
    assert tversky(**four).item() == pytest.approx(0.8 / 2.3)
    assert tversky(**four, exponent=0.75).item() == pytest.approx((0.8 / 2.3) ** 0.75)
    # structure: Σpt = ½, Σp + Σt = 3; background: Σ = 1.5, 2 + 3 = 5; 10:1
    assert weighted_dice(**four, smooth=0.0).item() == pytest.approx(1 - 2 * (10 * 0.5 + 1.5) / (10 * 3 + 5))
    assert weighted_dice(**four).item() == pytest.approx(1 - 14 / 36)
    # structure 1 − 2/4 as above; background: Σ = 1.5, 2 + 3 = 5, so 1 − 4/6; 10:1
    assert mean_dice(**four).item() == pytest.approx((10 * 2 / 4 + 2 / 6) / 11)
    # the true pixel counts ten times: Σvpt = 5, Σvt = 10, Σvp = 5 + 1.5
    assert pixel_weighted_dice(**four, smooth=0.0).item() == pytest.approx(1 - 10 / 16.5)
    assert pixel_weighted_dice(**four).item() == pytest.approx(1 - 11 / 17.5)
    # mean probability ½ where ¼ is usual: ((½ − ¼) / ¼)²
    assert area_prior(probability=HALF, frequency=0.25).item() == pytest.approx(1)


@pytest.mark.parametrize("per_image", [False, True])
def test_by_loops(per_image: bool) -> None:
    logits, target = logits_and_masks(3, 2, 4, 5)
    p, t = logits.sigmoid().numpy(), target.numpy()
    groups = [[n] for n in range(3)] if per_image else [[0, 1, 2]]
    for h in range(2):
        sums: dict[str, list[float]] = {"dice": [], "jaccard": [], "tversky": [], "weighted": [], "area": []}
        sums |= {"mean": [], "pixels": []}
        for group in groups:
            tp = fp = fn = tn = 0.0
            for n, y, x in product(group, range(4), range(5)):
                tp += p[n, h, y, x] * t[n, h, y, x]
                fp += p[n, h, y, x] * (1 - t[n, h, y, x])
                fn += (1 - p[n, h, y, x]) * t[n, h, y, x]
                tn += (1 - p[n, h, y, x]) * (1 - t[n, h, y, x])
            sums["dice"].append(1 - (2 * tp + 2) / (2 * tp + fp + fn + 2))
            sums["jaccard"].append(1 - (tp + 2) / (tp + fp + fn + 2))
            sums["tversky"].append((1 - (tp + 2) / (tp + 0.6 * fn + 0.4 * fp + 2)) ** 0.75)
            sums["weighted"].append(1 - (2 * (7 * tp + tn) + 2) / (7 * (2 * tp + fp + fn) + 2 * tn + fp + fn + 2))
            front, back = 2 * tp + 2, 2 * tn + 2
            sums["mean"].append(1 - (7 * front / (front + fp + fn) + back / (back + fp + fn)) / 8)
            sums["pixels"].append(1 - (14 * tp + 2) / (14 * tp + 7 * fn + fp + 2))
            sums["area"].append((((tp + fp) / (20 * len(group)) - 0.3) / 0.3) ** 2)
        both = {"probability": logits.sigmoid(), "target": target, "per_image": per_image}
        found = {
            "dice": soft_dice(**both, smooth=2.0),
            "jaccard": soft_jaccard(**both, smooth=2.0),
            "tversky": tversky(**both, fn_weight=0.6, exponent=0.75, smooth=2.0),
            "weighted": weighted_dice(**both, positive_weight=7.0, smooth=2.0),
            "mean": mean_dice(**both, positive_weight=7.0, smooth=2.0),
            "pixels": pixel_weighted_dice(**both, positive_weight=7.0, smooth=2.0),
            "area": area_prior(probability=logits.sigmoid(), frequency=0.3, per_image=per_image),
        }
        for name, values in found.items():
            assert values[h].item() == pytest.approx(np.mean(sums[name])), name


def test_dice_is_tversky_in_the_middle_and_follows_from_jaccard() -> None:
    logits, target = logits_and_masks(2, 3, 6, 6)
    both = {"probability": logits.sigmoid(), "target": target, "smooth": 0.0}
    dice, jaccard = 1 - soft_dice(**both), 1 - soft_jaccard(**both)
    assert torch.allclose(1 - tversky(**both, fn_weight=0.5), dice)
    assert torch.allclose(dice, 2 * jaccard / (1 + jaccard))


def test_batch_and_image_agree_on_one_image_and_not_on_two() -> None:
    logits, target = logits_and_masks(2, 3, 6, 6)
    target[1] = 0  # one of the two frames lacks all structures
    for loss in (soft_dice, soft_jaccard, tversky, weighted_dice, mean_dice, pixel_weighted_dice):
        p = logits.sigmoid()
        single = {"probability": p[:1], "target": target[:1]}
        assert torch.allclose(loss(**single), loss(**single, per_image=True))
        pair = {"probability": p, "target": target}
        assert not torch.allclose(loss(**pair), loss(**pair, per_image=True))


def test_weighted_sums_leave_an_unsure_wire_empty_and_the_other_readings_do_not() -> None:
    """Why the light U-Net learnt nothing with its weights on the sums (Gherardini 2020).

    10,000 pixels, 40 of them wire; of 400 that look like wire one in ten is. All are predicted absent. Of the weighted sums
    D ≈ 0.98 already; raising a pixel by dp adds 2(10·t − (1 − t)) above and 9 below, so it pays only where it is wire with
    q > (2 + 9·D)/22 = 0.49. The Dice of the wire alone is near 0, so there any q > 0 pays.
    """
    target = torch.zeros(1, 1, 100, 100, dtype=torch.float64)
    target[..., :4, ::10] = 1  # 40 of the 400 in the first four rows

    def gain(loss: Callable[..., torch.Tensor], like: slice) -> float:
        probability = torch.full_like(target, 1e-3).requires_grad_()
        loss(probability=probability, target=target).sum().backward()
        assert probability.grad is not None
        return -float(probability.grad[..., like, :].sum())

    looks_like_wire, rest = slice(0, 4), slice(4, 100)
    assert gain(weighted_dice, looks_like_wire) < 0
    for loss in (soft_dice, mean_dice, pixel_weighted_dice):
        assert gain(loss, looks_like_wire) > 0
        assert gain(loss, rest) < 0
    # One in two: D = 0.90, the limit 0.46, and the sums want it too.
    target[..., :4, ::2] = 1
    assert gain(weighted_dice, looks_like_wire) > 0


def test_an_empty_frame_costs_what_is_found_in_it() -> None:
    target = torch.zeros(2, 1, 2, 2, dtype=torch.float64)
    target[0, 0, 0, 0] = 1
    found = target.clone()
    found[1] = 0.75  # Σp = 3 in the empty frame
    assert soft_dice(probability=found, target=target, per_image=True).item() == pytest.approx((0 + 3 / 4) / 2)
    # over the batch: 1 − (2·1 + 1) / (4 + 1 + 1)
    assert soft_dice(probability=found, target=target).item() == pytest.approx(0.5)


def test_more_weight_on_what_is_missed() -> None:
    """Half of the structure is missed and nothing is extra: the loss rises with β; the other way round it falls."""
    target = one([[1, 1], [0, 0]])
    missed, extra = one([[1, 0], [0, 0]]), one([[1, 1], [1, 0]])
    weights = (0.3, 0.5, 0.7)
    rising = [tversky(probability=missed, target=target, fn_weight=w).item() for w in weights]
    falling = [tversky(probability=extra, target=target, fn_weight=w).item() for w in weights]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert rising[0] < rising[2]
    assert falling[0] > falling[2]


def test_numbers_may_differ_by_head() -> None:
    logits, target = logits_and_masks(2, 2, 4, 4)
    p = logits.sigmoid()
    together = tversky(
        probability=p,
        target=target,
        fn_weight=torch.tensor([0.3, 0.9]),
        exponent=torch.tensor([1.0, 0.5]),
        per_image=True,
    )
    for h, (weight, exponent) in enumerate([(0.3, 1.0), (0.9, 0.5)]):
        alone = tversky(
            probability=p[:, h : h + 1],
            target=target[:, h : h + 1],
            fn_weight=weight,
            exponent=exponent,
            per_image=True,
        )
        assert together[h].item() == pytest.approx(alone.item(), rel=1e-6)
