"""The two terms of every plan, Dice or Tversky and focal cross-entropy, with their gradients by hand, head by head.

Autograd makes some thirty passes over all heads for them, which was a third of a training step of the light network on a CPU.
Here each head takes about fifteen over what fits a cache, and its gradient is there with its value. The formulas are those of
:mod:`ercpseg.losses.functional` and :mod:`ercpseg.losses.overlap`, which still serve GPUs and whatever asks for no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

Number = float | torch.Tensor
HeadLoss = Callable[[torch.Tensor, torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]]
"""Logits and target of one head (n, y, x), and its index → loss, and its gradient by the logits."""


def pays(logits: torch.Tensor) -> bool:
    """Whether to take this way: on a CPU, where a gradient is wanted."""
    return logits.device.type == "cpu" and torch.is_grad_enabled() and logits.requires_grad


class _ByHead(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, target: torch.Tensor, loss: HeadLoss) -> torch.Tensor:
        values, gradient = logits.new_empty(logits.shape[1]), torch.empty_like(logits)
        for head in range(logits.shape[1]):
            values[head], gradient[:, head] = loss(logits[:, head], target[:, head], head)
        ctx.save_for_backward(gradient)
        return values

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, by_head: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * by_head.view(1, -1, 1, 1), None, None


def tversky(
    *, logits: torch.Tensor, target: torch.Tensor, fn_weight: Number = 0.7, smooth: Number = 1.0
) -> torch.Tensor:
    """:func:`ercpseg.losses.overlap.tversky` over the batch with exponent 1: (n, h, y, x) twice → (h,)."""

    def loss(z: torch.Tensor, t: torch.Tensor, head: int) -> tuple[torch.Tensor, torch.Tensor]:
        beta, s = _of(fn_weight, head), _of(smooth, head)
        p = z.sigmoid()
        above = torch.dot(p.flatten(), t.flatten()) + s
        below = beta * t.sum() + (1 - beta) * p.sum() + s  # TP + β·FN + (1−β)·FP + s
        return 1 - above / below, _through_sigmoid(p, t, -1 / below, above * (1 - beta) / below**2)

    return _by_head(logits, target, loss)


def soft_dice(*, logits: torch.Tensor, target: torch.Tensor, smooth: Number = 1.0) -> torch.Tensor:
    """:func:`ercpseg.losses.functional.soft_dice` over the batch: (n, h, y, x) twice → (h,)."""

    def loss(z: torch.Tensor, t: torch.Tensor, head: int) -> tuple[torch.Tensor, torch.Tensor]:
        s = _of(smooth, head)
        p = z.sigmoid()
        above = 2 * torch.dot(p.flatten(), t.flatten()) + s
        below = p.sum() + t.sum() + s
        return 1 - above / below, _through_sigmoid(p, t, -2 / below, above / below**2)

    return _by_head(logits, target, loss)


def augmented_focal(
    *, logits: torch.Tensor, target: torch.Tensor, alpha: Number, gamma: Number, normalise: bool = True
) -> torch.Tensor:
    """:func:`ercpseg.losses.functional.augmented_focal`: (n, h, y, x) twice, (h,) twice → (h,).

    With s = z where t = 0 and −z where t = 1 a pixel's loss is softplus(s)·σ(s)^γ, and its derivative by s is
    σ(s)^γ·(σ(s) + γ·softplus(s)·(1 − σ(s))).
    """

    def loss(z: torch.Tensor, t: torch.Tensor, head: int) -> tuple[torch.Tensor, torch.Tensor]:
        a, g = float(_of(alpha, head)), float(_of(gamma, head))
        sign = 1 - 2 * t
        s = z * sign
        wrong, entropy = s.sigmoid(), functional.softplus(s)
        value, slope = entropy, wrong
        if g:
            # As the formula has it: below 10⁻⁶ the power counts as constant.
            power = wrong.square() if g == 2 else wrong.clamp_min(1e-6).pow(g)
            slope = torch.addcmul(wrong, entropy, 1 - wrong, value=g).mul_(power)
            if g < 1:
                slope = torch.where(wrong < 1e-6, wrong * power, slope)
            value = entropy * power
        total = value.sum()
        weights = z.new_tensor(float(z.numel()))
        gradient = slope.mul_(sign) if slope is not wrong else slope * sign
        if a != 1:
            total = total + (a - 1) * torch.dot(value.flatten(), t.flatten())
            weights = weights + (a - 1) * t.sum()
            gradient.mul_(torch.add(1, t, alpha=a - 1))
        below = weights if normalise else z.new_tensor(float(z.numel()))
        return total / below, gradient.div_(below)

    return _by_head(logits, target, loss)


def _by_head(logits: torch.Tensor, target: torch.Tensor, loss: HeadLoss) -> torch.Tensor:
    result: torch.Tensor = _ByHead.apply(logits, target.to(logits.dtype), loss)
    return result


def _through_sigmoid(
    p: torch.Tensor, t: torch.Tensor, at_target: torch.Tensor, everywhere: torch.Tensor
) -> torch.Tensor:
    """(a·t + b)·p·(1 − p): the derivative by the logits of what depends on Σ p·t and Σ p."""
    return torch.addcmul(everywhere, t, at_target).mul_(torch.addcmul(p, p, p, value=-1))


def _of(number: Number, head: int) -> Number:
    return number[head] if isinstance(number, torch.Tensor) and number.ndim else number
