"""Every network at a size that runs in milliseconds, and the counters of the documentation's table."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ercpseg.documents.plan import NetworkValues
from ercpseg.networks import NETWORKS, build_network
from ercpseg.networks.options import SPECS

HEADS = ("endoscope", "guidewire", "instrument")
ALL_HEADS = ("endoscope", "guidewire", "cbd", "stone", "instrument", "duct")
FEATURES = {name: (4, 4, 6, 6, 8) if name == "fra-net" else (4, 6, 8, 8) for name in NETWORKS}
FRAMES = {name: 4 if name == "ambrosini" else 1 for name in NETWORKS}


def small_values(name: str, deep_supervision: int = 0) -> NetworkValues:
    return NetworkValues(name=name, features=FEATURES[name], deep_supervision=deep_supervision)


def small_network(
    name: str, deep_supervision: int = 0, heads: int | Sequence[str] = HEADS, seed: int = 0, **more: object
) -> nn.Module:
    torch.manual_seed(seed)
    return build_network(small_values(name, deep_supervision), heads, **more)  # type: ignore[arg-type]


def frames(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def published(name: str, heads: Sequence[str] = ALL_HEADS) -> nn.Module:
    """The network at its published size, with the four structures and two parents of ERCP."""
    values = NetworkValues(name=name, features=SPECS[name].features, deep_supervision=0)
    return build_network(values, heads, input_channels=FRAMES[name]).eval()


def gflops(network: nn.Module, channels: int, side_px: int = 512) -> float:
    """Billions of operations of one frame: two per multiply-add of every convolution; norms and additions not counted.

    Nothing is computed: the tensors are shapes only.
    """
    network = network.to("meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, channels, side_px, side_px, device="meta"))
    return float(counter.get_total_flops()) / 1e9
