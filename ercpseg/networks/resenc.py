"""nnU-Net's U-Net with a residual encoder, from its own library (Isensee et al. 2024, "nnU-Net Revisited").

One graph serves the presets M, L and XL: they differ in the memory that is planned for, that is in patch and batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from ercpseg.networks.outputs import check_auxiliary
from ercpseg.networks.unet import LibraryUNet, common_arguments

BLOCKS = (1, 3, 4, 6, 6, 6, 6, 6, 6)
"""Residual blocks per encoder stage (nnU-Net 2.8.1, ``ResEncUNetPlanner``); the decoder has one convolution per stage."""


class ResidualUNet(LibraryUNet):
    """``ResidualEncoderUNet`` of nnU-Net behind this package's conventions."""

    def __init__(self, *, input_channels: int = 1, heads: int, features: Sequence[int], deep_supervision: int = 0):
        from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

        check_auxiliary(deep_supervision, len(features))
        body = ResidualEncoderUNet(
            **common_arguments(input_channels, heads, features),
            n_blocks_per_stage=list(BLOCKS[: len(features)]),
            n_conv_per_stage_decoder=1,
        )
        super().__init__(body, len(features), deep_supervision)
