"""Our real-time network: a residual U-Net whose convolutions work at half resolution and below.

A frame's time on a CPU goes by its resolution more than by its channels: most of a light U-Net's is spent where maps are
large and hold 32 channels. Here the frame is first folded (2 × 2 pixels → 4 channels), so that nothing is lost before the
first convolution sees it, and the highest level has one convolution before and one behind. What is saved is spent at a
quarter of the resolution and below, where dense 3×3 convolutions with residuals see far: 2.6 times the parameters of
``light`` for 1.3 times its time on one core (docs/explanation/networks-and-losses.md); ``blocks = 0`` takes 0.76 of it.

The decoder adds its skips instead of stacking them, after a 1×1 convolution at the lower resolution, where it is cheap.
Batch norm, because it can be folded into the convolutions for prediction and lets windows train what whole frames use.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from ercpseg.networks.outputs import check_auxiliary


def _convolution(inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class Residual(nn.Module):
    """Two 3×3 convolutions with norm; the input is added before the last ReLU. Channels stay as they are."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, c, y, x) → the same shape."""
        return functional.relu(self.second(self.first(x)) + x)


class RealtimeUNet(nn.Module):
    """The real-time network of (n, c, y, x), y and x multiples of :attr:`divisor`; see ``ercpseg.networks``.

    Parameters
    ----------
    features
        channels per level, half resolution first.
    blocks
        residual blocks per level below the first.
    """

    def __init__(
        self,
        *,
        input_channels: int = 1,
        heads: int,
        features: Sequence[int] = (16, 32, 64, 128, 128, 128),
        deep_supervision: int = 0,
        blocks: int = 1,
    ):
        super().__init__()
        check_auxiliary(deep_supervision, len(features))
        self.divisor = 2 ** len(features)
        self.auxiliary = deep_supervision
        self.deep_supervision = deep_supervision > 0
        self.stem = _convolution(4 * input_channels, features[0])
        self.down = nn.ModuleList(_convolution(a, b, stride=2) for a, b in pairwise(features))
        self.encoder = nn.ModuleList(nn.Sequential(*(Residual(f) for _ in range(blocks))) for f in features[1:])
        pairs = list(pairwise(features))[::-1]
        self.narrow = nn.ModuleList(nn.Conv2d(below, skip, 1) for skip, below in pairs)
        self.decoder = nn.ModuleList(_convolution(skip, skip) for skip, _ in pairs)
        self.head = nn.ConvTranspose2d(features[0], heads, 2, 2)
        self.auxiliary_heads = nn.ModuleList(nn.Conv2d(f, heads, 1) for f in features[:deep_supervision])

    def outputs(self) -> list[nn.Module]:
        """The layers that give logits."""
        return [self.head, *self.auxiliary_heads]

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """See the package."""
        x = self.stem(functional.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last))
        skips = []
        for down, blocks in zip(self.down, self.encoder, strict=True):
            skips.append(x)
            x = blocks(down(x))
        decoded = []
        for narrow, merge, skip in zip(self.narrow, self.decoder, reversed(skips), strict=True):
            doubled = functional.interpolate(narrow(x), scale_factor=2.0, mode="bilinear", align_corners=False)
            x = merge(doubled + skip)
            decoded.append(x)
        logits: torch.Tensor = self.head(x)
        if not (self.deep_supervision and self.training):
            return logits
        return [logits, *(head(level) for head, level in zip(self.auxiliary_heads, reversed(decoded), strict=False))]
