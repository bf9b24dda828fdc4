"""nnU-Net's plain U-Net, from its own library: two convolutions per stage, instance norm, leaky ReLU."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class PlainUNet(nn.Module):
    """``PlainConvUNet`` of nnU-Net behind this package's conventions (see ``ercpseg.networks``)."""

    def __init__(self, *, input_channels: int = 1, heads: int, features: Sequence[int], deep_supervision: int = 0):
        super().__init__()
        from dynamic_network_architectures.architectures.unet import PlainConvUNet

        stages = len(features)
        if not 0 <= deep_supervision <= stages - 2:
            raise ValueError(f"{deep_supervision} auxiliary outputs; expected 0 to {stages - 2}")
        self.divisor = 2 ** (stages - 1)
        self.auxiliary = deep_supervision
        self.deep_supervision = deep_supervision > 0
        self.body = PlainConvUNet(
            input_channels=input_channels,
            n_stages=stages,
            features_per_stage=list(features),
            conv_op=nn.Conv2d,
            kernel_sizes=3,
            strides=[1] + [2] * (stages - 1),
            n_conv_per_stage=2,
            num_classes=heads,
            n_conv_per_stage_decoder=2,
            conv_bias=True,
            norm_op=nn.InstanceNorm2d,
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=nn.LeakyReLU,
            nonlin_kwargs={"inplace": True},
            deep_supervision=True,
        )

    def outputs(self) -> list[nn.Module]:
        """The layers that give logits."""
        return list(self.body.decoder.seg_layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """See the package."""
        auxiliary = self.deep_supervision and self.training
        # The library decides by a flag whether the lower heads are computed at all.
        self.body.decoder.deep_supervision = auxiliary
        outputs: torch.Tensor | list[torch.Tensor] = self.body(x)
        return outputs[: 1 + self.auxiliary] if auxiliary else outputs
