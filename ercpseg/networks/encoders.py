"""Encoders of FRA-Net: MobileNetV2 with recurrent blocks in its stream, or another one of timm with them beside it.

Nothing is ever downloaded. :func:`load_encoder_weights` reads a safetensors file that lies on this machine.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ercpseg.errors import StorageError
from ercpseg.networks.fra_blocks import RecurrentResidualBlock

WIDEST_BLOCK = 320
"""No recurrent block is wider than MobileNetV2's widest: at ResNet-50's 2048 channels one alone would have 226 million
parameters."""


def timm_model(name: str, **arguments: Any) -> nn.Module:
    """A fresh model of timm without weights; nothing is downloaded."""
    with warnings.catch_warnings():
        # timm's import touches parts of torch that are on their way out; nothing of them is used here.
        warnings.simplefilter("ignore", FutureWarning)
        import timm

        network: nn.Module = timm.create_model(name, pretrained=False, **arguments)
    return network


class MobileNetEncoder(nn.Module):
    """FRA-Net's own encoder: 7×7 stem, max-pooling, MobileNetV2's inverted residual blocks, a recurrent block per stage.

    MobileNetV2's second stage has stride 1 here: with the original 2 the deepest map of a 512² frame would be 8², and the
    paper says 16². The stem is not MobileNetV2's and so never pre-trained.
    """

    STAGES = ((0, 1), (2,), (3, 4), (5, 6))

    def __init__(self, input_channels: int, steps: int):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(input_channels, 32, 7, 2, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True)
        )
        self.pool = nn.MaxPool2d(3, 2, 1)
        blocks: Any = timm_model("mobilenetv2_100").blocks
        blocks[1][0].conv_dw.stride = (1, 1)
        self.blocks: nn.Sequential = blocks
        self.channels = [32, 24, 32, 96, 320]
        self.recurrent = nn.ModuleList(RecurrentResidualBlock(c, c, steps) for c in self.channels[1:])

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(n, c, y, x) → maps at 1/2, 1/4, 1/8, 1/16 and 1/32."""
        x = self.stem(x)
        maps = [x]
        x = self.pool(x)
        for stage, recurrent in zip(self.STAGES, self.recurrent, strict=True):
            for index in stage:
                x = self.blocks[index](x)
            x = recurrent(x)
            maps.append(x)
        return maps

    def pretrained(self) -> dict[str, torch.Tensor]:
        """Tensors that a file of the original may set, by their names in it."""
        return {f"blocks.{name}": tensor for name, tensor in self.blocks.state_dict().items()}


class TimmEncoder(nn.Module):
    """An encoder of timm as it is, for the ablation; its recurrent blocks stand beside the stream, on the skips."""

    def __init__(self, name: str, input_channels: int, steps: int):
        super().__init__()
        backbone: Any = timm_model(name, features_only=True, in_chans=input_channels)
        wanted = [i for i, reduction in enumerate(backbone.feature_info.reduction()) if reduction >= 2]
        if len(wanted) < len(backbone.feature_info.reduction()):  # VGG also gives its full resolution
            backbone = timm_model(name, features_only=True, in_chans=input_channels, out_indices=wanted)
        self.backbone = backbone
        found = backbone.feature_info.channels()
        self.channels = [found[0], *(min(c, WIDEST_BLOCK) for c in found[1:])]
        self.recurrent = nn.ModuleList(
            RecurrentResidualBlock(a, b, steps) for a, b in zip(found[1:], self.channels[1:], strict=True)
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(n, c, y, x) → maps at 1/2, 1/4, 1/8, 1/16 and 1/32."""
        first, *others = self.backbone(x)
        return [first, *(block(x) for block, x in zip(self.recurrent, others, strict=True))]

    def pretrained(self) -> dict[str, torch.Tensor]:
        """Tensors that a file of the original may set, by their names in it."""
        return {
            # As a list of features timm flattens one dot of VGG's names.
            f"features.{name.removeprefix('features_')}" if name.startswith("features_") else name: tensor
            for name, tensor in self.backbone.state_dict().items()
        }


def load_encoder_weights(encoder: MobileNetEncoder | TimmEncoder, path: Path) -> int:
    """Set an encoder from a safetensors file of its original in timm; returns how many tensors were set.

    A first convolution over three colours is summed over them and spread evenly over our input channels, so that a grey
    frame gives what the same grey in three colours gave. What else the file holds (a classifier) is not used.

    Raises
    ------
    StorageError
        when the file cannot be read, or a tensor is missing, of another shape, or holds a number that is not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    from ercpseg.storage.atomic import read_bytes

    try:
        arrays = load(read_bytes(path))
    except SafetensorError as error:
        raise StorageError(
            "these are no encoder weights", where=path, expected="a safetensors file of the encoder from timm"
        ) from error
    ready, problems = {}, []
    for name, wanted in encoder.pretrained().items():
        tensor = arrays.get(name)
        if tensor is None:
            problems.append(f"{name} is missing")
            continue
        if tensor.ndim == 4 and tensor.shape[1] == 3 and wanted.ndim == 4 and wanted.shape[1] != 3:
            tensor = tensor.sum(1, keepdim=True).expand(-1, wanted.shape[1], -1, -1) / wanted.shape[1]
        if tensor.shape != wanted.shape:
            problems.append(f"{name} is {tuple(tensor.shape)} and not {tuple(wanted.shape)}")
        elif tensor.is_floating_point() and not torch.isfinite(tensor).all():
            problems.append(f"{name} holds a number that is not finite")
        ready[name] = tensor
    if problems:
        raise StorageError("these weights do not fit the encoder: " + "; ".join(problems[:5]), where=path)
    with torch.no_grad():
        for name, wanted in encoder.pretrained().items():
            wanted.copy_(ready[name])
    return len(ready)
