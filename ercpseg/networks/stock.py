"""nnU-Net's own networks from the numbers of its plans, by name from a list of two; nothing of a file is looked up."""

from __future__ import annotations

from typing import Any

from torch import nn

from ercpseg.documents.serving import StockNetwork
from ercpseg.errors import DocumentError
from ercpseg.networks.norms import InstanceNorm2d

NORMS = {"instance": InstanceNorm2d, "batch": nn.BatchNorm2d, "none": None}
ACTIVATIONS = {"leaky_relu": nn.LeakyReLU, "relu": nn.ReLU}


def build_stock(values: StockNetwork, heads: int) -> nn.Module:
    """The network with fresh random weights: (n, 1, y, x) → (n, heads, y, x).

    Raises
    ------
    DocumentError
        when the numbers do not fit together.
    """
    from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet

    stages = len(values.features)
    each = {"kernels": values.kernels, "strides": values.strides, "blocks": values.blocks}
    wrong = [name for name, numbers in each.items() if len(numbers) != stages]
    if wrong or len(values.decoder_blocks) != stages - 1:
        raise DocumentError(f"{', '.join(wrong) or 'decoder_blocks'}: a number per stage is needed", where="network")
    common: dict[str, Any] = {
        "input_channels": 1,
        "n_stages": stages,
        "features_per_stage": list(values.features),
        "conv_op": nn.Conv2d,
        "kernel_sizes": [list(size) for size in values.kernels],
        "strides": [list(size) for size in values.strides],
        "num_classes": heads,
        "n_conv_per_stage_decoder": list(values.decoder_blocks),
        "conv_bias": values.bias,
        "norm_op": NORMS[values.norm],
        "norm_op_kwargs": {"eps": values.norm_eps, "affine": values.norm_affine},
        "nonlin": ACTIVATIONS[values.activation],
        "nonlin_kwargs": {"inplace": True}
        | ({"negative_slope": values.slope} if values.activation == "leaky_relu" else {}),
        "deep_supervision": False,
    }
    if values.architecture == "ResidualEncoderUNet":
        return ResidualEncoderUNet(n_blocks_per_stage=list(values.blocks), **common)  # type: ignore[no-any-return]
    return PlainConvUNet(n_conv_per_stage=list(values.blocks), **common)  # type: ignore[no-any-return]
