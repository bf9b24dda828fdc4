"""Blocks of FRA-Net: recurrent residual convolutions and attention modules (Zhou et al. 2020, sections 2.1 and 2.2)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class RecurrentConvolution(nn.Module):
    """Recurrent convolutional layer, equation 1: O(t) = ReLU(BN(W_c ∗ x + W_r ∗ O(t − 1))), O(0) without the second term.

    W_c and W_r are separate 3×3 convolutions, shared over t = 0 … ``steps``; W_c ∗ x is computed once. Each step has batch
    statistics of its own: the sum's spread differs from step to step, and one running average over all of them would give
    a trained network other numbers in prediction than in training. ``steps`` = 0 is a plain convolution.
    """

    def __init__(self, channels: int, steps: int):
        super().__init__()
        self.forward_weights = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.recurrent_weights = nn.Conv2d(channels, channels, 3, 1, 1, bias=False) if steps else None
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(steps + 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, y, x) → the same shape."""
        drive = self.forward_weights(x)
        state = torch.relu(self.norms[0](drive))
        if self.recurrent_weights is not None:
            for norm in list(self.norms)[1:]:
                state = torch.relu(norm(drive + self.recurrent_weights(state)))
        return state


class RecurrentResidualBlock(nn.Module):
    """1×1 projection, three recurrent layers, and the projection added again (equation 2, figure 4)."""

    def __init__(self, inputs: int, outputs: int, steps: int, layers: int = 3):
        super().__init__()
        self.projection = nn.Conv2d(inputs, outputs, 1)
        self.body = nn.Sequential(*(RecurrentConvolution(outputs, steps) for _ in range(layers)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, inputs, y, x) → (n, outputs, y, x)."""
        x = self.projection(x)
        added: torch.Tensor = x + self.body(x)
        return added


class AttentionModule(nn.Module):
    """A skip times its attention coefficients, equation 3: α = σ(ψᵀ ReLU(K(x) + D(g)) + b).

    x is the skip, g the decoder's map at half its size. K ("key feature map") is a 3×3 convolution with norm and ReLU, of
    stride 2 so that it meets g's grid; D ("directly adjusted") a 1×1 convolution. α is doubled bilinearly. The text's
    "1×1×1" and "trilinear" are left over from a 3D paper.
    """

    def __init__(self, skip: int, gate: int):
        super().__init__()
        inner = max(1, skip // 2)
        self.key = nn.Sequential(
            nn.Conv2d(skip, inner, 3, 2, 1, bias=False), nn.BatchNorm2d(inner), nn.ReLU(inplace=True)
        )
        self.direct = nn.Conv2d(gate, inner, 1)
        self.psi = nn.Conv2d(inner, 1, 1)

    def forward(self, x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        """Skip (n, c, 2y, 2x) and gate (n, g, y, x) → (n, c, 2y, 2x)."""
        alpha = torch.sigmoid(self.psi(torch.relu(self.key(x) + self.direct(gate))))
        return x * functional.interpolate(alpha, scale_factor=2.0, mode="bilinear", align_corners=False)
