"""Networks, one per file, built from plain numbers. ``NETWORKS`` maps the plan's name to a builder.

Every network takes (n, c, y, x) with y and x multiples of its divisor and gives logits (n, heads, y, x); in training with
auxiliary outputs it gives a list, full resolution first, each level half the size of the one before. Other sizes are
refused by the first layer that cannot put them together; callers pad (:func:`ercpseg.frames.tiles.pad_to`). Nothing in a
forward pass depends on the data, so that graphs can be captured and compiled. Numbers that a plan may set beyond
``features`` are listed in :mod:`ercpseg.networks.options`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ercpseg.errors import DocumentError
from ercpseg.networks.options import check_network, spec

if TYPE_CHECKING:
    from torch import nn

    from ercpseg.documents.plan import NetworkValues


def _light(**numbers: Any) -> nn.Module:
    from ercpseg.networks.light import LightUNet

    return LightUNet(**numbers)


def _unet(**numbers: Any) -> nn.Module:
    from ercpseg.networks.unet import PlainUNet

    return PlainUNet(**numbers)


def _resenc(**numbers: Any) -> nn.Module:
    from ercpseg.networks.resenc import ResidualUNet

    return ResidualUNet(**numbers)


def _classic(**numbers: Any) -> nn.Module:
    from ercpseg.networks.classic import ClassicUNet

    return ClassicUNet(**numbers)


def _fra_net(**numbers: Any) -> nn.Module:
    from ercpseg.networks.fra_net import FraNet

    return FraNet(**numbers)


def _ambrosini(**numbers: Any) -> nn.Module:
    from ercpseg.networks.ambrosini import AmbrosiniUNet

    return AmbrosiniUNet(**numbers)


def _cascade(**numbers: Any) -> nn.Module:
    from ercpseg.networks.cascade import CascadeUNet

    return CascadeUNet(**numbers)


def _realtime(**numbers: Any) -> nn.Module:
    from ercpseg.networks.realtime import RealtimeUNet

    return RealtimeUNet(**numbers)


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "light": partial(_light, stem_stride=2),
    "light-full": partial(_light, stem_stride=1),
    "unet": _unet,
    "resenc": _resenc,
    "martin": partial(_classic, normalise=True, slope=0.01, pooling=False),
    "ronneberger": partial(_classic, normalise=False, slope=0.0, pooling=True),
    "fra-net": _fra_net,
    "ambrosini": _ambrosini,
    "cascade": _cascade,
    "realtime": _realtime,
}
"""``light``: Light U-Net at half resolution with a learnt doubling head; ``light-full``: the paper's reading; ``unet``,
``resenc``: nnU-Net's plain and residual-encoder U-Nets; ``martin``: plain U-Net with batch norm; ``ronneberger``: the U-Net of
2015; ``fra-net``; ``ambrosini``: residual U-Net over four frames; ``cascade``: LIP6's idea; ``realtime``: ours, for a frame in
real time on a CPU. All take ``input_channels``, ``heads``, ``features``, ``deep_supervision`` and what their options name."""


PRIOR = 0.05
"""Initial probability of every head: between the share of a wire (0.4 %) and of an endoscope (8 %)."""


def divisor(name: str, features: Sequence[int]) -> int:
    """Side lengths of an input must be multiples of this.

    Raises
    ------
    DocumentError
        when there is no network of this name.
    """
    return spec(name).divisor(features)


def build_network(
    values: NetworkValues,
    heads: int | Sequence[str],
    *,
    input_channels: int = 1,
    options: Mapping[str, object] | None = None,
) -> nn.Module:
    """Build the network a plan names, with fresh random weights.

    ``heads``: how many outputs, or their names in order, which the cascade needs to know which one is the instrument.
    ``input_channels``: frames stacked, the current one and those before it. ``options``: by default those of ``values``.

    Raises
    ------
    DocumentError
        when the plan names a network that does not exist, or a number is unknown or out of range.
    """
    given = values.options if options is None else options
    chosen: dict[str, Any] = check_network(values.name, values.features, values.deep_supervision, given, input_channels)
    count = heads if isinstance(heads, int) else len(heads)
    if "instrument_head" in chosen:
        chosen["instrument_head"] = _instrument(chosen["instrument_head"], heads)
    network = NETWORKS[values.name](
        heads=count,
        features=values.features,
        deep_supervision=values.deep_supervision,
        input_channels=input_channels,
        **chosen,
    )
    _expect_background(network)
    return network


def _instrument(index: int, heads: int | Sequence[str]) -> int:
    """The head that the cascade's first stage learns. A guess would be a wrong mask under a right name, so none is made."""
    if index < 0 and not isinstance(heads, int) and "instrument" in heads:
        index = list(heads).index("instrument")
    count = heads if isinstance(heads, int) else len(heads)
    if not 0 <= index < count or count < 2:
        raise DocumentError(
            "the cascade does not know which head is the instrument",
            where="network.options.instrument_head",
            expected="a head called instrument, or the index of one",
        )
    return index


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
