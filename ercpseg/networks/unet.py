"""nnU-Net's plain U-Net, from its own library: two convolutions per stage, instance norm, leaky ReLU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ercpseg.networks.norms import InstanceNorm2d
from ercpseg.networks.outputs import check_auxiliary


class LibraryUNet(nn.Module):
    """A U-Net of ``dynamic_network_architectures`` behind this package's conventions (see ``ercpseg.networks``).

    The library builds a head for every level, used or not, so that weights fit whatever is supervised.
    """

    body: nn.Module

    def __init__(self, body: nn.Module, levels: int, deep_supervision: int):
        super().__init__()
        check_auxiliary(deep_supervision, levels)
        self.divisor = 2 ** (levels - 1)
        self.auxiliary = deep_supervision
        self.deep_supervision = deep_supervision > 0
        self.body = body

    def outputs(self) -> list[nn.Module]:
        """The layers that give logits."""
        return list(self.body.decoder.seg_layers)  # type: ignore[union-attr, arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """See the package."""
        auxiliary = self.deep_supervision and self.training
        # The library decides by a flag whether the lower heads are computed at all.
        self.body.decoder.deep_supervision = auxiliary  # type: ignore[union-attr]
        outputs: torch.Tensor | list[torch.Tensor] = self.body(x)
        return outputs[: 1 + self.auxiliary] if auxiliary else outputs


def common_arguments(input_channels: int, heads: int, features: Sequence[int]) -> dict[str, Any]:
    """What nnU-Net's 2D plans say of both of its U-Nets."""
    return {
        "input_channels": input_channels,
        "n_stages": len(features),
        "features_per_stage": list(features),
        "conv_op": nn.Conv2d,
        "kernel_sizes": 3,
        "strides": [1] + [2] * (len(features) - 1),
        "num_classes": heads,
        "conv_bias": True,
        "norm_op": InstanceNorm2d,
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": nn.LeakyReLU,
        "nonlin_kwargs": {"inplace": True},
        "deep_supervision": True,
    }


class PlainUNet(LibraryUNet):
    """``PlainConvUNet`` of nnU-Net behind this package's conventions."""

    def __init__(self, *, input_channels: int = 1, heads: int, features: Sequence[int], deep_supervision: int = 0):
        from dynamic_network_architectures.architectures.unet import PlainConvUNet

        check_auxiliary(deep_supervision, len(features))
        body = PlainConvUNet(
            **common_arguments(input_channels, heads, features), n_conv_per_stage=2, n_conv_per_stage_decoder=2
        )
        super().__init__(body, len(features), deep_supervision)
