"""Light U-Net: one convolution per level (Gherardini et al. 2020, CMPB 192:105420).

The channels of the paper's Fig. 1 are lost. The layout here is the reconstruction that comes closest to the printed
687,634 parameters: encoder [16, 16, 32, 64, 64, 128], decoder per level transposed convolution → concatenation →
convolution to twice the skip's channels, 1×1 head: 687,474 with three input channels and two outputs (−0.02 %).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _upsampling(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, 1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class LightUNet(nn.Module):
    """Light U-Net.

    Input (n, c, y, x) with y and x multiples of :attr:`divisor`; output (n, heads, y, x) logits, or while
    ``deep_supervision`` is on and the network trains, a list of logits, full resolution first, each half the one before.

    Parameters
    ----------
    features
        channels of the encoder, highest resolution first.
    stem_stride
        1 = the first level works at full resolution (the paper's reading). 2 = at half resolution, and the head
        doubles it by a learnt 2×2 transposed convolution: about four times faster, for real time and CPU training.
    deep_supervision
        auxiliary outputs below the highest decoder level (ours, not the paper's).
    """

    def __init__(
        self,
        *,
        input_channels: int = 1,
        heads: int,
        features: Sequence[int] = (16, 16, 32, 64, 64, 128),
        stem_stride: int = 1,
        deep_supervision: int = 0,
    ):
        super().__init__()
        if stem_stride not in (1, 2):
            raise ValueError(f"stem_stride is {stem_stride}; expected 1 or 2")
        if not 0 <= deep_supervision <= len(features) - 2:
            raise ValueError(f"{deep_supervision} auxiliary outputs; expected 0 to {len(features) - 2}")
        self.divisor = stem_stride * 2 ** (len(features) - 1)
        self.auxiliary = deep_supervision
        self.deep_supervision = deep_supervision > 0
        channels = [input_channels, *features]
        self.encoder = nn.ModuleList(
            _convolution(a, b, stem_stride if level == 0 else 2) for level, (a, b) in enumerate(pairwise(channels))
        )
        self.up, self.merge = nn.ModuleList(), nn.ModuleList()
        below = features[-1]
        for skip in reversed(features[:-1]):
            self.up.append(_upsampling(below, skip))
            self.merge.append(_convolution(2 * skip, 2 * skip, 1))
            below = 2 * skip
        if stem_stride == 1:
            self.head: nn.Module = nn.Conv2d(below, heads, 1)
        else:
            self.head = nn.ConvTranspose2d(below, heads, 2, 2)
        # With a half-resolution stem the first auxiliary output sits on the highest decoder level itself.
        sources = [2 * f for f in features[:-1]]
        first = 0 if stem_stride == 2 else 1
        self.auxiliary_levels = [first + i for i in range(deep_supervision)]
        self.auxiliary_heads = nn.ModuleList(nn.Conv2d(sources[level], heads, 1) for level in self.auxiliary_levels)

    def outputs(self) -> list[nn.Module]:
        """The layers that give logits."""
        return [self.head, *self.auxiliary_heads]

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """See the class."""
        skips = []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
        decoded = []
        for up, merge, skip in zip(self.up, self.merge, reversed(skips[:-1]), strict=True):
            x = merge(torch.cat([up(x), skip], 1))
            decoded.append(x)
        logits: torch.Tensor = self.head(x)
        if not (self.deep_supervision and self.training and self.auxiliary):
            return logits
        decoded.reverse()
        levels = zip(self.auxiliary_heads, self.auxiliary_levels, strict=True)
        return [logits, *(head(decoded[level]) for head, level in levels)]
