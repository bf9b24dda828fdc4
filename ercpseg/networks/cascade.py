"""Joint cascade after the LIP6 offer of 2023: the instrument first, then endoscope and guidewire with its help.

The offer names the idea only: instruments as one label, then as two, "a cascaded network using joint-learning", on the
hypothesis that the "guidewire always comes from endoscope". Our reading: stage 1 segments the instrument as one label.
Stage 2 segments everything else from the image, stage 1's probability map, and the nearness to the endoscope along the
instrument. Both are classic U-Nets with batch norm and leaky ReLU, as the group's own paper (Martin 2022), trained at once:
stage 2's gradient reaches stage 1 through the map, not through the nearness (see :mod:`ercpseg.networks.geodesic`).

The distance is to the endoscope, not to its distal tip, which a probability map does not show before stage 2; and it is an
input that the network may ignore, not a rule: a wire can stay behind alone after an exchange of endoscopes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ercpseg.networks.classic import ClassicUNet
from ercpseg.networks.geodesic import SCALE, nearness


class CascadeUNet(nn.Module):
    """Two U-Nets as one module: (n, c, y, x), y and x multiples of :attr:`divisor`, → logits of **all** heads in order.

    Parameters
    ----------
    instrument_head
        index of the head that stage 1 learns; stage 2 learns the others.
    opening_px, decay_px, reach_px
        see :func:`ercpseg.networks.geodesic.nearness`.
    """

    def __init__(  # noqa: PLR0913  # plain numbers of a plan, all keyword-only
        self,
        *,
        input_channels: int = 1,
        heads: int,
        features: Sequence[int] = (32, 64, 128, 256, 512),
        deep_supervision: int = 0,
        instrument_head: int,
        opening_px: int = 12,
        decay_px: float = 64.0,
        reach_px: int = 512,
    ):
        super().__init__()
        if heads < 2 or not 0 <= instrument_head < heads:
            raise ValueError(f"instrument_head is {instrument_head} of {heads} heads; expected two heads or more")
        self.divisor = 2 ** (len(features) - 1)
        if self.divisor % SCALE:
            raise ValueError(f"{len(features)} levels; expected 4 or more")
        self.deep_supervision = deep_supervision > 0
        self.instrument_head = instrument_head
        self.opening_px, self.decay_px, self.reach_px = opening_px, decay_px, reach_px
        self.first = ClassicUNet(
            input_channels=input_channels,
            heads=1,
            features=features,
            deep_supervision=deep_supervision,
            normalise=True,
            slope=0.01,
            pooling=False,
        )
        self.second = ClassicUNet(
            input_channels=input_channels + 2,
            heads=heads - 1,
            features=features,
            deep_supervision=deep_supervision,
            normalise=True,
            slope=0.01,
            pooling=False,
        )

    def outputs(self) -> list[nn.Module]:
        """The layers that give logits, of both stages."""
        return [*self.first.outputs(), *self.second.outputs()]

    def forward(self, x: torch.Tensor) -> torch.Tensor | list[torch.Tensor]:
        """See the package."""
        auxiliary = self.deep_supervision and self.training
        instrument = self.first.levels(x, auxiliary)
        probability = instrument[0].sigmoid()
        near = nearness(probability, opening_px=self.opening_px, decay_px=self.decay_px, reach_px=self.reach_px)
        parts = self.second.levels(torch.cat([x, probability.to(x.dtype), near.to(x.dtype)], 1), auxiliary)
        i = self.instrument_head
        result = [torch.cat([p[:, :i], one, p[:, i:]], 1) for one, p in zip(instrument, parts, strict=True)]
        return result if auxiliary else result[0]
