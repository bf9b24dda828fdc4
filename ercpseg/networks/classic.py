"""Classic U-Net: two 3×3 convolutions per level, 2×2 transposed convolutions, concatenation.

Two published networks are the same graph with other numbers:

- *Ronneberger et al. 2015*, as Pishro 2026 trains it: max-pooling, no normalisation, ReLU, 64 to 1024 channels. The 2015
  paper does not pad its convolutions and crops the skips; here they are padded, so that the output has the input's size.
- *Martin et al. 2022*, "generic improved U-Net with a leaky ReLU, Batch normalization": depth and width are not given. Read
  as nnU-Net's plain layout (strided convolutions, 32 to 512 channels) with batch norm and leaky ReLU of slope 0.01.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from ercpseg.networks.outputs import LevelHeads, check_auxiliary


class ClassicUNet(nn.Module):
    """U-Net of (n, c, y, x) with y and x multiples of :attr:`divisor`; see ``ercpseg.networks`` for what it gives.

    Parameters
    ----------
    features
        channels per level, highest resolution first; the decoder mirrors them.
    normalise
        batch norm after every 3×3 convolution.
    slope
        of the leaky ReLU below zero; 0 is the plain ReLU.
    pooling
        halve by 2×2 max-pooling; else the first convolution of a level has stride 2.
    """

    def __init__(
        self,
        *,
        input_channels: int = 1,
        heads: int,
        features: Sequence[int] = (64, 128, 256, 512, 1024),
        deep_supervision: int = 0,
        normalise: bool = False,
        slope: float = 0.0,
        pooling: bool = True,
    ):
        super().__init__()
        check_auxiliary(deep_supervision, len(features))
        self.divisor = 2 ** (len(features) - 1)
        self.deep_supervision = deep_supervision > 0

        def convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
            layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, stride, 1)]
            layers += [nn.BatchNorm2d(outputs)] if normalise else []
            return [*layers, nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)]

        self.encoder = nn.ModuleList()
        for level, (inputs, outputs) in enumerate(pairwise([input_channels, *features])):
            halve: list[nn.Module] = [nn.MaxPool2d(2)] if pooling and level else []
            stride = 2 if level and not pooling else 1
            self.encoder.append(
                nn.Sequential(*halve, *convolution(inputs, outputs, stride), *convolution(outputs, outputs))
            )
        self.up, self.merge = nn.ModuleList(), nn.ModuleList()
        for below, skip in pairwise(reversed(features)):
            self.up.append(nn.ConvTranspose2d(below, skip, 2, 2))
            self.merge.append(nn.Sequential(*convolution(2 * skip, skip), *convolution(skip, skip)))
        self.heads = LevelHeads(features[: 1 + deep_supervision], heads)

    def outputs(self) -> list[nn.Module]:
        """The layers that give logits."""
        return list(self.heads.layers)

    def levels(self, x: torch.Tensor, all_levels: bool) -> list[torch.Tensor]:
        """Logits, highest resolution first; the auxiliary ones when ``all_levels``."""
        skips = []
        for level in self.encoder:
            x = level(x)
            skips.append(x)
        decoded = []
        for up, merge, skip in zip(self.up, self.merge, reversed(skips[:-1]), strict=True):
            x = merge(torch.cat([up(x), skip], 1))
            decoded.append(x)
        result: list[torch.Tensor] = self.heads(decoded[::-1], all_levels)
        return result

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """See the package."""
        result = self.levels(x, auxiliary := self.deep_supervision and self.training)
        return result if auxiliary else result[0]
