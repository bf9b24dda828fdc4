"""Residual U-Net over four frames (Ambrosini et al. 2017, MICCAI, LNCS 10434:577), the light U-Net's yardstick.

Read from the authors' public code: 1×1 convolution, residual blocks of two 3×3 convolutions, 2×2 convolutions of stride 2
down, nearest-neighbour doubling and a 2×2 convolution up, concatenation, residual block on both, 1×1 head. The current frame
and the three before it are the channels. With three channels, five levels from 32 and two outputs it has 14,133,154
parameters, the number that Gherardini 2020 prints for it.

Deviations: Gaussian noise of 0.03 on the input belongs to the augmentation here; batch norm keeps torch's constants (Keras
averages more slowly); auxiliary outputs are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from ercpseg.networks.outputs import LevelHeads, check_auxiliary


class ResidualBlock(nn.Module):
    """Convolution, norm, ReLU, convolution, norm; the input is added before the last ReLU. Channels stay as they are."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, 1, 1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, y, x) → the same shape."""
        return torch.relu(self.body(x) + x)


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 2, 2), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _up(inputs: int, outputs: int) -> nn.Sequential:
    # An even kernel needs one more row and column; Keras puts them at the end.
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="nearest"),
        nn.ZeroPad2d((0, 1, 0, 1)),
        nn.Conv2d(inputs, outputs, 2),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class AmbrosiniUNet(nn.Module):
    """Residual U-Net of (n, frames, y, x) with y and x multiples of :attr:`divisor`; see ``ercpseg.networks``.

    ``dropout`` is the share of values that the two deepest levels drop in training, one value at a time, as published.
    """

    def __init__(
        self,
        *,
        input_channels: int = 4,
        heads: int,
        features: Sequence[int] = (32, 64, 128, 256, 512),
        deep_supervision: int = 0,
        dropout: float = 0.5,
    ):
        super().__init__()
        check_auxiliary(deep_supervision, len(features))
        self.divisor = 2 ** (len(features) - 1)
        self.deep_supervision = deep_supervision > 0
        self.first = nn.Conv2d(input_channels, features[0], 1)
        self.encoder = nn.ModuleList(ResidualBlock(f) for f in features)
        self.down = nn.ModuleList(_down(a, b) for a, b in pairwise(features))
        self.dropout = nn.Dropout(dropout)
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        below = features[-1]
        for skip in reversed(features[:-1]):
            self.up.append(_up(below, skip))
            self.decoder.append(ResidualBlock(2 * skip))
            below = 2 * skip
        self.heads = LevelHeads([2 * f for f in features[: 1 + deep_supervision]], heads)

    def outputs(self) -> list[nn.Module]:
        """The layers that give logits."""
        return list(self.heads.layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """See the package."""
        x, skips = self.first(x), []
        last = len(self.encoder) - 1
        for level, block in enumerate(self.encoder):
            x = block(x)
            skips.append(x)
            if level >= last - 1:
                x = self.dropout(x)  # the skip of the last level but one goes across undropped
            if level < last:
                x = self.down[level](x)
        decoded = []
        for up, block, skip in zip(self.up, self.decoder, reversed(skips[:-1]), strict=True):
            x = block(torch.cat([up(x), skip], 1))
            decoded.append(x)
        auxiliary = self.deep_supervision and self.training
        result: list[torch.Tensor] = self.heads(decoded[::-1], auxiliary)
        return result if auxiliary else result[0]
