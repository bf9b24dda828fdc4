"""Gradients by hand against autograd through the formulas, in double precision."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ercpseg.losses import functional, fused, overlap

numbers = st.sampled_from([0.0, 0.5, 1.0, 2.0, 2.5])


def case(seed: int, n: int, h: int, spread: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (n, h, 5, 7), far out too, and a target in which the first head is empty."""
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(n, h, 5, 7, generator=generator, dtype=torch.float64)
    target = (torch.rand(n, h, 5, 7, generator=generator) < 0.3).double()
    target[:, 0] = 0
    return logits, target


def same(ours, theirs, logits: torch.Tensor) -> None:
    a, b = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    first, other = ours(a), theirs(b)
    weight = torch.arange(1.0, len(first) + 1, dtype=logits.dtype)
    assert torch.allclose(first, other, atol=1e-10)
    (first * weight).sum().backward()
    (other * weight).sum().backward()
    assert a.grad is not None
    assert torch.allclose(a.grad, b.grad, atol=1e-10)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 99), st.integers(1, 3), st.integers(1, 3), st.sampled_from([1.0, 8.0]), st.lists(numbers, min_size=3),
    st.lists(st.sampled_from([0.25, 1.0, 4.6]), min_size=3), st.booleans(),
)  # fmt: skip
def test_focal(
    seed: int, n: int, h: int, spread: float, gamma: list[float], alpha: list[float], normalise: bool
) -> None:
    logits, target = case(seed, n, h, spread)
    values = {
        "alpha": torch.tensor(alpha[:h], dtype=torch.float64),
        "gamma": torch.tensor(gamma[:h], dtype=torch.float64),
        "normalise": normalise,
    }
    same(
        lambda z: fused.augmented_focal(logits=z, target=target, **values),
        lambda z: functional.augmented_focal(logits=z, target=target, **values),
        logits,
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 99), st.integers(1, 3), st.integers(1, 3), st.sampled_from([0.0, 1.0, 5.0]))
def test_dice(seed: int, n: int, h: int, smooth: float) -> None:
    logits, target = case(seed, n, h, 2.0)
    same(
        lambda z: fused.soft_dice(logits=z, target=target, smooth=smooth),
        lambda z: functional.soft_dice(probability=z.sigmoid(), target=target, smooth=smooth),
        logits,
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 99), st.integers(1, 3), st.lists(st.sampled_from([0.3, 0.5, 0.7, 0.9]), min_size=3))
def test_tversky(seed: int, n: int, fn_weight: list[float]) -> None:
    logits, target = case(seed, n, 3, 2.0)
    weight = torch.tensor(fn_weight[:3], dtype=torch.float64)
    same(
        lambda z: fused.tversky(logits=z, target=target, fn_weight=weight),
        lambda z: overlap.tversky(probability=z.sigmoid(), target=target, fn_weight=weight),
        logits,
    )


def test_far_out_logits_give_numbers() -> None:
    logits = torch.tensor([[-200.0, 200.0, 0.0], [200.0, -200.0, 90.0]])[None].requires_grad_()
    target = torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, 0.0]])[None]
    loss = fused.augmented_focal(logits=logits[..., None], target=target[..., None], alpha=2.0, gamma=0.5)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(logits.grad).all()


def test_a_gradient_can_be_asked_for_twice() -> None:
    logits, target = case(1, 2, 2, 1.0)
    logits.requires_grad_()
    loss = fused.soft_dice(logits=logits, target=target).sum()
    (first,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (second,) = torch.autograd.grad(loss, logits)
    assert torch.equal(first, second)


@pytest.mark.parametrize(("wanted", "pays"), [(True, True), (False, False)])
def test_it_is_taken_where_a_gradient_is_wanted(wanted: bool, pays: bool) -> None:
    assert fused.pays(torch.zeros(1, 1, 2, 2, requires_grad=wanted)) is pays
    with torch.no_grad():
        assert not fused.pays(torch.zeros(1, 1, 2, 2, requires_grad=wanted))
