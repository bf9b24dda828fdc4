"""FRA-Net: fast recurrent attention network for guidewires (Zhou, Xie, Bian, Hou 2020, ECAI).

For 512² frames: stem 256² (32 channels), E1 128² (24), E2 64² (32), E3 32² (96), E4 16² (320); five decoder blocks back to
512², each a doubling transposed convolution, norm, the attention-weighted skip, and a recurrent residual block; a 1×1 head.

Not printed in the paper, and so our reading: the stem's channels, stride 1 in MobileNetV2's second stage (the sizes force
it), kernel 2 of the transposed convolutions, the decoder's channels (``features``, highest resolution first), batch
statistics per recurrent step. Ours: auxiliary outputs; other encoders keep their recurrent blocks on the skips.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ercpseg.networks.encoders import MobileNetEncoder, TimmEncoder
from ercpseg.networks.fra_blocks import AttentionModule, RecurrentResidualBlock
from ercpseg.networks.options import ENCODERS
from ercpseg.networks.outputs import LevelHeads, check_auxiliary


class FraNet(nn.Module):
    """FRA-Net of (n, c, y, x) with y and x multiples of 32; see ``ercpseg.networks`` for what it gives.

    Parameters
    ----------
    features
        five decoder widths, highest resolution first.
    encoder
        a name in :data:`ercpseg.networks.options.ENCODERS`.
    attention, recurrent
        switch the attention modules or the recurrence off (Table 3 of the paper).
    steps
        recurrent steps t after the first convolution.
    """

    def __init__(  # noqa: PLR0913  # plain numbers of a plan, all keyword-only
        self,
        *,
        input_channels: int = 1,
        heads: int,
        features: Sequence[int] = (16, 24, 32, 64, 128),
        deep_supervision: int = 0,
        encoder: str = "mobilenetv2_100",
        attention: bool = True,
        recurrent: bool = True,
        steps: int = 3,
    ):
        super().__init__()
        check_auxiliary(deep_supervision, len(features))
        if len(features) != 5:
            raise ValueError(f"{len(features)} decoder widths; expected 5")
        if encoder not in ENCODERS:
            raise ValueError(f"no encoder called {encoder[:64]!r}; expected one of {', '.join(ENCODERS)}")
        steps = steps if recurrent else 0
        self.divisor = 32
        self.deep_supervision = deep_supervision > 0
        self.encoder: MobileNetEncoder | TimmEncoder
        if encoder == "mobilenetv2_100":
            self.encoder = MobileNetEncoder(input_channels, steps)
        else:
            self.encoder = TimmEncoder(encoder, input_channels, steps)
        self.up, self.attend, self.decoder = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        *skips, below = self.encoder.channels
        for outputs, skip in zip(reversed(features), [*reversed(skips), 0], strict=True):
            self.up.append(
                nn.Sequential(
                    nn.ConvTranspose2d(below, outputs, 2, 2, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
                )
            )
            if skip and attention:
                self.attend.append(AttentionModule(skip, below))
            self.decoder.append(RecurrentResidualBlock(outputs + skip, outputs, steps))
            below = outputs
        self.heads = LevelHeads(features[: 1 + deep_supervision], heads)

    def outputs(self) -> list[nn.Module]:
        """The layers that give logits."""
        return list(self.heads.layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """See the package."""
        *skips, x = self.encoder(x)
        skips.reverse()
        decoded = []
        for level, (up, block) in enumerate(zip(self.up, self.decoder, strict=True)):
            wider = up(x)
            if level < len(skips):
                skip = self.attend[level](skips[level], x) if len(self.attend) else skips[level]
                wider = torch.cat([wider, skip], 1)
            x = block(wider)
            decoded.append(x)
        auxiliary = self.deep_supervision and self.training
        result: list[torch.Tensor] = self.heads(decoded[::-1], auxiliary)
        return result if auxiliary else result[0]
