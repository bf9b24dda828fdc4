"""Losses against the formulas written out slowly, their limits, and numerical gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from ercpseg.documents.plan import LossValues
from ercpseg.losses.compound import CompoundLoss
from ercpseg.losses.functional import augmented_focal, pooled_target, soft_dice

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(2, 3, 4, 5)) * 2
TARGET = RNG.random((2, 3, 4, 5)) < 0.3


def tensor(array: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(array, np.float64))


# -- Dice ------------------------------------------------------------------------------------------------------------


def test_dice_by_loops() -> None:
    p = 1 / (1 + np.exp(-LOGITS))
    expected = []
    for h in range(3):
        both = first = second = 0.0
        for n in range(2):  # the batch is summed before the division
            for y in range(4):
                for x in range(5):
                    both += p[n, h, y, x] * TARGET[n, h, y, x]
                    first += p[n, h, y, x]
                    second += TARGET[n, h, y, x]
        expected.append(1 - (2 * both + 1) / (first + second + 1))
    assert soft_dice(probability=tensor(p), target=tensor(TARGET)).tolist() == pytest.approx(expected)


def test_dice_worked_out() -> None:
    # one frame, one head: p = ½ everywhere on 4 pixels, one of them true: 1 − (2·½ + 1)/(2 + 1 + 1) = ½
    target = torch.tensor([[[[1.0, 0, 0, 0]]]])
    assert soft_dice(probability=torch.full_like(target, 0.5), target=target).item() == 0.5


def test_dice_limits() -> None:
    target = tensor(TARGET)
    assert soft_dice(probability=target, target=target).tolist() == pytest.approx([0, 0, 0])
    empty = torch.zeros_like(target)
    assert soft_dice(probability=empty, target=empty).tolist() == [0, 0, 0], "nothing to find, nothing found"
    inverse = soft_dice(probability=1 - target, target=target)
    assert (inverse > 0.9).all()
    assert (inverse < 1).all()


# -- focal -----------------------------------------------------------------------------------------------------------


def slow_focal(logits: Any, target: Any, alpha: list[float], gamma: list[float]) -> list[float]:
    result = []
    for h, (a, g) in enumerate(zip(alpha, gamma, strict=True)):
        total = weight = 0.0
        for z, t in zip(logits[:, h].ravel(), target[:, h].ravel(), strict=True):
            p = 1 / (1 + math.exp(-z))
            total += -a * (1 - p) ** g * math.log(p) if t else -(p**g) * math.log(1 - p)
            weight += a if t else 1
        result.append(total / weight)
    return result


@pytest.mark.parametrize(
    ("alpha", "gamma"),
    [([1, 1, 1], [0, 0, 0]), ([1, 4, 10], [0, 2, 2.5]), ([0.5, 100, 1], [1, 0.5, 3])],
)
def test_focal_by_loops(alpha: list[float], gamma: list[float]) -> None:
    result = augmented_focal(logits=tensor(LOGITS), target=tensor(TARGET), alpha=tensor(alpha), gamma=tensor(gamma))
    assert result.tolist() == pytest.approx(slow_focal(LOGITS, TARGET, alpha, gamma), rel=1e-9)


def test_focal_worked_out() -> None:
    # p = ½ on one positive and one negative, α = 3, γ = 2: (3·¼·ln 2 + ¼·ln 2) / 4 = ln 2 / 4
    logits, target = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]]])
    result = augmented_focal(logits=logits, target=target, alpha=torch.tensor([3.0]), gamma=torch.tensor([2.0]))
    assert result.item() == pytest.approx(math.log(2) / 4)


def test_without_alpha_and_gamma_it_is_cross_entropy() -> None:
    one, zero = torch.ones(3), torch.zeros(3)
    result = augmented_focal(logits=tensor(LOGITS), target=tensor(TARGET), alpha=one, gamma=zero)
    expected = functional.binary_cross_entropy_with_logits(tensor(LOGITS), tensor(TARGET), reduction="none").mean(
        (0, 2, 3)
    )
    assert torch.allclose(result, expected)


def test_alpha_moves_attention_and_not_the_size() -> None:
    """Equal losses of all pixels: whatever α, the mean is that loss."""
    logits = torch.zeros(2, 3, 4, 5)
    for alpha in (0.1, 1.0, 100.0):
        result = augmented_focal(
            logits=logits, target=tensor(TARGET), alpha=torch.full((3,), alpha), gamma=torch.zeros(3)
        )
        assert torch.allclose(result, torch.full((3,), math.log(2)))


def test_a_perfect_answer_costs_nothing() -> None:
    logits = (tensor(TARGET) * 2 - 1) * 60
    for gamma in (0.0, 2.0):
        result = augmented_focal(
            logits=logits, target=tensor(TARGET), alpha=torch.full((3,), 5.0), gamma=torch.full((3,), gamma)
        )
        assert (result >= 0).all()
        assert (result < 1e-12).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 2.5])
def test_extreme_logits_stay_finite(dtype: torch.dtype, gamma: float) -> None:
    logits = torch.tensor([-100.0, -100, 100, 100, 0, 0], dtype=dtype).view(1, 1, 1, 6).requires_grad_()
    target = torch.tensor([0.0, 1, 0, 1, 0, 1], dtype=dtype).view(1, 1, 1, 6)
    loss = augmented_focal(
        logits=logits, target=target, alpha=torch.tensor([10.0]), gamma=torch.tensor([gamma])
    ) + soft_dice(probability=logits.sigmoid(), target=target)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    grad = logits.grad.flatten()
    assert grad[1] < 0, "a missed positive pulls up, however wrong it is"
    assert grad[2] > 0


@pytest.mark.parametrize("gamma", [[0.0, 0.0, 0.0], [2.0, 0.0, 2.5]])
def test_gradients(gamma: list[float]) -> None:
    logits, target = tensor(LOGITS).requires_grad_(), tensor(TARGET)
    alpha = tensor([1.0, 3.0, 10.0])
    assert torch.autograd.gradcheck(
        lambda z: augmented_focal(logits=z, target=target, alpha=alpha, gamma=tensor(gamma)), (logits,)
    )
    assert torch.autograd.gradcheck(lambda z: soft_dice(probability=z.sigmoid(), target=target), (logits,))


# -- targets of the lower levels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [1, 2, 3, 4])
@pytest.mark.parametrize("diagonal", [False, True])
def test_a_line_of_one_pixel_survives_by_maximum_only(level: int, diagonal: bool) -> None:
    target = torch.zeros(1, 2, 64, 64)
    rows = torch.arange(64)
    target[0, :, rows, rows if diagonal else torch.full_like(rows, 21)] = 1
    result = pooled_target(target, level, torch.tensor([True, False]))
    size = 64 >> level
    assert result.shape == (1, 2, size, size)
    assert result[0, 0].any(dim=1).all(), "no gap in any row"
    # 1 of 2^level columns: at level 1 that is one half exactly, which counts as majority; less below
    assert bool(result[0, 1].any()) == (level == 1)
    assert set(result.unique().tolist()) <= {0.0, 1.0}


def test_majority_is_at_least_half() -> None:
    target = torch.tensor([[[[1.0, 1, 1, 0, 1, 0], [0, 0, 0, 0, 1, 1]]]])  # 2, 1 and 3 of 4
    assert pooled_target(target, 1, torch.tensor([False])).tolist() == [[[[1, 0, 1]]]]
    assert pooled_target(target, 1, torch.tensor([True])).tolist() == [[[[1, 1, 1]]]]


def test_the_first_level_is_the_target() -> None:
    target = torch.rand(1, 1, 3, 5)
    assert torch.equal(pooled_target(target, 0, torch.tensor([True])), target)


# -- the sum ---------------------------------------------------------------------------------------------------------

HEADS = ("wire", "duct", "parent")


def loss_values(**changes: Any) -> LossValues:
    values: dict[str, Any] = {
        "head_weight": {"wire": 1.0, "duct": 2.0, "parent": 0.5},
        "dice_weight": {"wire": 1.0, "duct": 0.5, "parent": 1.0},
        "focal_weight": {"wire": 1.0, "duct": 2.0, "parent": 0.0},
        "focal_alpha": {"wire": 5.0, "duct": 1.0, "parent": 1.0},
        "focal_gamma": {"wire": 2.0, "duct": 0.0, "parent": 0.0},
        "level_weights": (1.0, 0.5),
        "max_pooled": ("wire",),
    }
    return LossValues(**values | changes)


def compound(**changes: Any) -> CompoundLoss:
    return CompoundLoss(loss_values(**changes), HEADS)


def outputs(seed: int = 0, levels: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, 3, 16 >> k, 24 >> k, generator=generator) for k in range(levels)]


MASKS = torch.from_numpy(np.random.default_rng(1).random((2, 3, 16, 24)) < 0.2)


def by_hand(logits: torch.Tensor, target: torch.Tensor, values: LossValues) -> float:
    total = weight = 0.0
    for i, head in enumerate(HEADS):
        z, t = logits[:, i : i + 1], target[:, i : i + 1]
        dice = soft_dice(probability=z.sigmoid(), target=t).item()
        focal = slow_focal(z.numpy(), t.numpy(), [values.focal_alpha[head]], [values.focal_gamma[head]])[0]
        total += values.head_weight[head] * (values.dice_weight[head] * dice + values.focal_weight[head] * focal)
        weight += values.head_weight[head]
    return total / weight


def test_the_sum_by_hand() -> None:
    levels, values = outputs(levels=2), loss_values()
    lower = pooled_target(MASKS.float(), 1, torch.tensor([True, False, False]))
    expected = (1.0 * by_hand(levels[0], MASKS.float(), values) + 0.5 * by_hand(levels[1], lower, values)) / 1.5
    assert compound()(levels, MASKS).item() == pytest.approx(expected, rel=1e-5)


def test_only_the_ratio_of_the_weights_counts() -> None:
    a = compound()(outputs(levels=2), MASKS)
    b = compound(level_weights=(4.0, 2.0))(outputs(levels=2), MASKS)
    c = compound(head_weight={"wire": 10.0, "duct": 20.0, "parent": 5.0})(outputs(levels=2), MASKS)
    assert a.item() == pytest.approx(b.item())
    assert a.item() == pytest.approx(c.item())


def test_a_tensor_is_the_full_resolution_alone() -> None:
    """In validation the network gives one tensor: its loss is comparable with that of any other plan."""
    levels = outputs(levels=2)
    expected = by_hand(levels[0], MASKS.float(), loss_values())
    for weights in ((1.0,), (1.0, 0.5), (1.0, 0.5, 0.25)):
        loss = compound(level_weights=weights)
        assert loss(levels[0], MASKS).item() == pytest.approx(expected, rel=1e-5)
        assert loss(levels[:1], MASKS).item() == pytest.approx(expected, rel=1e-5)


def test_levels_without_weight_are_not_looked_at() -> None:
    levels = outputs()
    levels[1] = torch.full_like(levels[1], float("nan"))
    loss = compound(level_weights=(1.0, 0.0, 0.5))
    result = loss(levels, MASKS)
    assert torch.isfinite(result)
    fewer = compound(level_weights=(1.0,))(outputs(), MASKS)
    assert fewer.item() == pytest.approx(by_hand(levels[0], MASKS.float(), loss_values()), rel=1e-5)


def test_heads_without_weight_do_not_learn() -> None:
    levels = [level.requires_grad_() for level in outputs(levels=2)]
    compound(head_weight={"wire": 1.0, "duct": 0.0, "parent": 1.0})(levels, MASKS).backward()
    for level in levels:
        assert level.grad is not None
        assert not level.grad[:, 1].any()
        assert level.grad[:, 0].any()


def test_the_order_of_heads_is_that_of_the_channels() -> None:
    """Numbers go by name, not by the order of the plan's tables."""
    turned = {
        key: dict(reversed(value.items()))
        for key, value in loss_values().model_dump().items()
        if isinstance(value, dict)
    }
    assert compound(**turned)(outputs(), MASKS).item() == compound()(outputs(), MASKS).item()


def test_half_precision_outputs() -> None:
    levels = outputs(levels=2)
    expected = compound()(levels, MASKS).item()
    for dtype in (torch.float16, torch.bfloat16):
        result = compound()([level.to(dtype) for level in levels], MASKS)
        assert result.dtype == torch.float32
        assert result.item() == pytest.approx(expected, rel=2e-2)


def test_half_precision_does_not_overflow() -> None:
    """float16 ends at 65,504; a frame has more pixels."""
    logits = torch.full((1, 3, 300, 300), 10.0, dtype=torch.float16)
    result = compound(level_weights=(1.0,))(logits, torch.ones(1, 3, 300, 300, dtype=torch.bool))
    assert result.item() == pytest.approx(0, abs=1e-3)


def test_learning_makes_it_smaller() -> None:
    levels = [level.requires_grad_() for level in outputs(levels=2)]
    loss = compound()
    optimiser = torch.optim.Adam(levels, lr=0.3)
    first = loss(levels, MASKS).item()
    for _ in range(60):
        optimiser.zero_grad()
        value = loss(levels, MASKS)
        value.backward()
        optimiser.step()
    assert value.item() < 0.1 * first
    # the parent learns by Dice alone; the others are pixel-perfect
    assert torch.equal(levels[0][:, :2] > 0, MASKS[:, :2])
