"""Instance norm, as fast as a CPU can do it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable


class _ByFrame(torch.autograd.Function):
    """Instance norm of a batch as the batch norm of each of its frames.

    Torch's batch norm works on maps that are stored channels last without copying them, on all cores and in both directions;
    its group norm does so forward only: backward of 4 × 32 × 256² takes seven times as long.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor | None, bias: torch.Tensor | None, eps: float
    ) -> torch.Tensor:
        """(n, c, y, x) → the same shape; one mean and spread per frame and channel."""
        result = torch.empty_like(x)
        means, factors = x.new_empty(x.shape[:2]), x.new_empty(x.shape[:2])
        for frame, out, mean, factor in zip(torch.split(x, 1), torch.split(result, 1), means, factors, strict=True):
            torch.ops.aten.native_batch_norm.out(
                frame, weight, bias, None, None, True, 0.0, eps, out=out, save_mean=mean, save_invstd=factor
            )
        ctx.save_for_backward(x, weight, means, factors)
        ctx.eps = eps
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """By input, weight and bias."""
        x, weight, means, factors = ctx.saved_tensors
        result = torch.empty_like(x)
        shares = x.new_empty((2, *x.shape[:2]))
        wanted = [True, weight is not None, weight is not None]
        gradient = gradient.contiguous(memory_format=torch.channels_last if _last(x) else torch.contiguous_format)
        for i, (frame, part) in enumerate(zip(torch.split(x, 1), torch.split(gradient, 1), strict=True)):
            by_input, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
                part, frame, weight, None, None, means[i], factors[i], True, ctx.eps, wanted
            )
            result[i : i + 1] = by_input
            if weight is not None:
                shares[0, i], shares[1, i] = by_weight, by_bias
        if weight is None:
            return result, None, None, None
        return result, shares[0].sum(0), shares[1].sum(0), None


class InstanceNorm2d(nn.InstanceNorm2d):
    """Instance norm with torch's parameters and names, computed in another way on a CPU.

    Torch copies maps that are stored channels last, and convolutions want them so. Training takes torch's batch norm of one
    frame after the other, which does not copy. Prediction, where no gradient is wanted, takes the mean away in place.
    Both are as exact as torch, which a group norm of one channel per group is not. Measured: docs/benchmarks.md, throughput.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, y, x) → the same shape."""
        if x.device.type != "cpu" or self.track_running_stats or torch.onnx.is_in_onnx_export():
            result: torch.Tensor = super().forward(x)
            return result
        if torch.is_grad_enabled():
            # Single precision also under autocast, as torch's norms.
            x = x if x.dtype == torch.float64 else x.float()
            if not x.is_contiguous(memory_format=torch.channels_last):
                x = x.contiguous()  # torch's batch norm writes wrong numbers into parts of other layouts
            return _ByFrame.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-any-return]
        return self._exact(x)

    def _exact(self, x: torch.Tensor) -> torch.Tensor:
        n, c, height, width = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(n, height * width, c)  # a view where x is stored channels last
        apart = pixels - pixels.mean(1, keepdim=True)
        # Not vector_norm: it adds one after the other, which costs three of seven digits over a whole map.
        factor = apart.square().mean(1, keepdim=True).add_(self.eps).rsqrt_()
        if self.affine:
            torch.addcmul(self.bias, apart, factor.mul_(self.weight), out=apart)
        else:
            apart.mul_(factor)
        return apart.reshape(n, height, width, c).permute(0, 3, 1, 2)


def _last(x: torch.Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
