"""CC-Dice: every component counts alike, within its own region."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from ercpseg.losses.functional import soft_dice
from ercpseg.losses.instances import MAX_COMPONENTS, cc_dice, component_regions


def stones() -> torch.Tensor:
    target = torch.zeros(1, 1, 12, 24, dtype=torch.float64)
    target[0, 0, 4:8, 2:6] = 1  # 16 px
    target[0, 0, 5:7, 18:20] = 1  # 4 px
    return target


def loss(probability: torch.Tensor, target: torch.Tensor, smooth: float = 0.0) -> torch.Tensor:
    return cc_dice(probability=probability, target=target, regions=component_regions(target), smooth=smooth)


def test_a_small_stone_counts_as_much_as_a_large_one() -> None:
    target = stones()
    found = target.clone()
    found[..., 18:20] = 0
    assert loss(found, target).item() == pytest.approx(0.5)
    assert soft_dice(probability=found, target=target, smooth=0.0).item() == pytest.approx(1 - 32 / 36)


def test_worked_out_with_something_extra() -> None:
    """Two pixels too many beside the small stone, of p = ½: 1 − ½·(1 + 2·4/(4 + 4 + 1))."""
    target = stones()
    found = target.clone()
    found[0, 0, 5:7, 20] = 0.5
    assert loss(found, target).item() == pytest.approx(1 - (1 + 8 / 9) / 2)
    # with smoothing 1: (32 + 1)/(32 + 1) and (8 + 1)/(9 + 1)
    assert loss(found, target, 1.0).item() == pytest.approx(1 - (1 + 0.9) / 2)


def test_frames_without_a_stone_take_no_part() -> None:
    target = torch.cat([stones(), torch.zeros_like(stones())])
    found = target.clone()
    found[1] = 1.0
    assert loss(found, target).item() == 0
    empty = torch.zeros_like(target)
    logits = torch.zeros_like(target, requires_grad=True)
    nothing = loss(logits.sigmoid(), empty)
    nothing.sum().backward()
    assert nothing.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_one_component_is_dice() -> None:
    target = stones()
    target[..., 10:] = 0
    p = torch.rand(1, 1, 12, 24, dtype=torch.float64)
    assert loss(p, target).item() == pytest.approx(soft_dice(probability=p, target=target, smooth=0.0).item())


def test_heads_and_frames_stay_apart() -> None:
    """The same stones in other frames and heads: the mean of the parts, weighted by their components."""
    torch.manual_seed(0)
    target = torch.zeros(2, 2, 12, 24, dtype=torch.float64)
    target[0, 0], target[1, 0], target[1, 1] = stones()[0, 0], stones()[0, 0].flip(0), stones()[0, 0]
    target[1, 0, :, 10:] = 0
    p = torch.rand(2, 2, 12, 24, dtype=torch.float64)
    whole = loss(p, target)
    first = loss(p[:1, :1], target[:1, :1]).item()
    second = loss(p[1:, :1], target[1:, :1]).item()
    assert whole[0].item() == pytest.approx((2 * first + 1 * second) / 3)
    assert whole[1].item() == pytest.approx(loss(p[1:, 1:], target[1:, 1:]).item())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.01, 0.3))
def test_regions_by_brute_force(seed: int, share: float) -> None:
    """Every pixel belongs to a component at the smallest distance there is."""
    mask = np.random.default_rng(seed).random((9, 11)) < share
    regions = component_regions(torch.from_numpy(mask[None, None].astype(np.float32)))[0, 0].numpy()
    labels, count = label(mask, np.ones((3, 3)))
    if not count:
        assert not regions.any()
        return
    points = np.argwhere(mask)
    for y in range(9):
        for x in range(11):
            away = ((points - (y, x)) ** 2).sum(1)
            nearest = {int(labels[tuple(points[i])]) for i in np.flatnonzero(away == away.min())}
            assert int(regions[y, x]) in nearest


def test_very_many_components() -> None:
    target = torch.zeros(1, 1, 40, 40)
    target[0, 0, ::2, ::2] = 1  # 400
    regions = component_regions(target)
    assert regions.max() == MAX_COMPONENTS
    assert torch.isfinite(cc_dice(probability=torch.rand_like(target), target=target, regions=regions)).all()
