"""Every published system as network, loss and input: two steps of training, a prediction, and the weights again.

The tables here are the combinations that recipes name; the numbers are those of the papers, at widths that run in a test.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from ercpseg.documents.plan import NetworkValues
from ercpseg.losses.compound import WeightedSum
from ercpseg.losses.options import Term
from ercpseg.networks import build_network
from ercpseg.networks.weights import load_weights, weights_of

SMALL, FRA = (4, 6, 8, 8), (4, 4, 6, 6, 8)
DL, JL, CFL, CCEL = Term("dice"), Term("jaccard"), Term("categorical-focal"), Term("cross-entropy")
SHARES = {"endoscope": 0.043, "guidewire": 0.0047, "cbd": 0.05, "stone": 0.004}
WPCCEL = Term("inverse-frequency", 1.0, {"frequency": SHARES})
PISHRO = {
    "dl": [DL], "jl": [JL], "cfl": [CFL], "ccel": [CCEL], "wpccel": [WPCCEL], "jl-ccel": [JL, CCEL], "jl-cfl": [JL, CFL],
    "dl-ccel": [DL, CCEL], "dl-cfl": [DL, CFL],
}  # fmt: skip
"""The nine rows of Pishro's Table 1."""
GRID = [(50, 1.5), (50, 2.0), (75, 2.0), (75, 2.5), (100, 2.5), (100, 3.0), (125, 3.0)]
"""α and γ of FRA-Net's Table 2."""


class System(NamedTuple):
    network: str
    heads: tuple[str, ...]
    terms: list[Term]
    features: tuple[int, ...] = SMALL
    frames: int = 1
    options: dict[str, Any] = {}  # noqa: RUF012  # never changed


def fra(alpha: float, gamma: float, **options: Any) -> System:
    focal = Term("focal", 1.0, {"alpha": float(alpha), "gamma": gamma, "normalise": False})
    return System("fra-net", ("guidewire",), [focal], FRA, 1, options)


TWO, JOINT = ("endoscope", "guidewire"), ("endoscope", "guidewire", "instrument")
FOUR = ("endoscope", "guidewire", "cbd", "stone")
BALANCE = Term("class-balance", 1.0, {"frequency": 0.0047})
AREA = Term("area-prior", 1.0, {"frequency": 0.0047})
SYSTEMS = {
    "martin-endoscope": System("martin", ("endoscope",), [DL, CCEL]),
    "martin-guidewire": System("martin", ("guidewire",), [DL, BALANCE]),
    "martin-guidewire-area": System("martin", ("guidewire",), [DL, CCEL, AREA]),
    "lip6-one-label": System(
        "martin", JOINT, [Term("dice", {"instrument": 1.0}), Term("cross-entropy", {"instrument": 1.0})]
    ),
    "lip6-two-labels": System("martin", TWO, [DL, CCEL]),
    "lip6-cascade": System("cascade", JOINT, [DL, CCEL]),
    **{f"pishro-{name}": System("ronneberger", FOUR, terms) for name, terms in PISHRO.items()},
    **{f"fra-net-{a}-{g}": fra(a, g) for a, g in GRID},
    "fra-net-focal": System("fra-net", ("guidewire",), [Term("balanced-focal")], FRA),
    "fra-net-ghm-c": System("fra-net", ("guidewire",), [Term("ghm-c")], FRA),
    "fra-net-without-attention": fra(100, 2.5, attention=False),
    "fra-net-without-recurrence": fra(100, 2.5, recurrent=False),
    "fra-net-resnet34": fra(100, 2.5, encoder="resnet34"),
    "light-unet-dice": System("light-full", ("guidewire",), [Term("weighted-dice")]),
    "light-unet-ce": System("light-full", ("guidewire",), [Term("weighted-cross-entropy")]),
    "light-unet-4-frames": System("light-full", ("guidewire",), [Term("weighted-dice")], SMALL, 4),
    "ambrosini": System("ambrosini", ("guidewire",), [DL], SMALL, 4),
    "nnunet": System("unet", FOUR, [DL, CCEL]),
    "nnunet-resenc-m": System("resenc", FOUR, [DL, CCEL]),
    "realtime": System("realtime", FOUR, [DL, Term("focal", 1.0, {"alpha": 4.6, "gamma": 2.0})]),
}


def build(system: System, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    values = NetworkValues(name=system.network, features=system.features, deep_supervision=0)
    return build_network(values, system.heads, input_channels=system.frames, options=system.options)


@pytest.mark.parametrize("name", SYSTEMS)
def test_it_trains_predicts_and_comes_back(name: str) -> None:
    system = SYSTEMS[name]
    network = build(system, 0)
    loss = WeightedSum(system.heads, system.terms)
    generator = torch.Generator().manual_seed(1)
    frames = torch.randn(2, system.frames, 64, 64, generator=generator)
    target = torch.rand(2, len(system.heads), 64, 64, generator=generator) < 0.05
    optimiser = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    before = weights_of(network)
    for _ in range(2):
        optimiser.zero_grad()
        value = loss(network.train()(frames), target)
        assert torch.isfinite(value)
        value.backward()
        optimiser.step()
    after = weights_of(network)
    assert any(not np.array_equal(before[key], after[key]) for key in before)
    again = build(system, 2)
    load_weights(again, after, where="test")
    with torch.inference_mode():
        first, second = network.eval()(frames), again.eval()(frames)
    assert first.shape == (2, len(system.heads), 64, 64)
    assert torch.equal(first, second)


def test_all_losses_of_the_papers_are_there() -> None:
    assert len(PISHRO) == 9
    assert (100, 2.5) in GRID
