"""Networks, one per file, built from plain numbers. ``NETWORKS`` maps the plan's name to a builder.

Every network takes (n, c, y, x) with y and x multiples of its divisor and gives logits (n, heads, y, x); in training with
auxiliary outputs it gives a list, full resolution first, each level half the size of the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ercpseg.errors import DocumentError

if TYPE_CHECKING:
    from torch import nn

    from ercpseg.documents.plan import NetworkValues


def _light(*, heads: int, features: Sequence[int], deep_supervision: int, stem_stride: int) -> nn.Module:
    from ercpseg.networks.light import LightUNet

    return LightUNet(heads=heads, features=features, deep_supervision=deep_supervision, stem_stride=stem_stride)


def _unet(*, heads: int, features: Sequence[int], deep_supervision: int) -> nn.Module:
    from ercpseg.networks.unet import PlainUNet

    return PlainUNet(heads=heads, features=features, deep_supervision=deep_supervision)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "light": partial(_light, stem_stride=2),
    "light-full": partial(_light, stem_stride=1),
    "unet": _unet,
}
"""``light``: Light U-Net at half resolution with a learnt doubling head; ``light-full``: the paper's reading;
``unet``: nnU-Net's plain U-Net."""


PRIOR = 0.05
"""Initial probability of every head: between the share of a wire (0.4 %) and of an endoscope (8 %)."""


def divisor(name: str, features: Sequence[int]) -> int:
    """Side lengths of an input must be multiples of this."""
    return int(2 ** (len(features) - (0 if name == "light" else 1)))


def build_network(values: NetworkValues, heads: int) -> nn.Module:
    """Build the network a plan names, with fresh random weights.

    Raises
    ------
    DocumentError
        when the plan names a network that does not exist.
    """
    if values.name not in NETWORKS:
        raise DocumentError(
            f"no network called {values.name[:64]!r}", where="network.name", expected=f"one of {', '.join(NETWORKS)}"
        )
    network = NETWORKS[values.name](heads=heads, features=values.features, deep_supervision=values.deep_supervision)
    _expect_background(network)
    return network


def _expect_background(network: nn.Module) -> None:
    """Set the bias of every output so that training begins with the probability :data:`PRIOR` everywhere.

    Without it the first steps only teach that nearly everything is background, and thin structures may never recover
    (Lin et al. 2017, section 4.1).
    """
    import math

    import torch

    with torch.no_grad():
        for output in network.outputs():  # type: ignore[operator]  # every network of this package has it
            output.bias.fill_(math.log(PRIOR / (1 - PRIOR)))
