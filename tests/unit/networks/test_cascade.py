"""The cascade: geodesic nearness against Dijkstra, which stage learns what, and that both learn together."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.graph import MCP

from ercpseg.documents.plan import NetworkValues
from ercpseg.errors import DocumentError
from ercpseg.geometry.drawing import draw_polyline
from ercpseg.networks import build_network
from ercpseg.networks.cascade import CascadeUNet
from ercpseg.networks.geodesic import nearness
from tests.unit.networks.small import frames

NUMBERS = {"opening_px": 12, "decay_px": 64.0, "reach_px": 512}


def line(points: list[tuple[float, float]], width_px: float, side: int = 256) -> NDArray[np.bool_]:
    return draw_polyline(np.array(points), (side, side), width_px)


SCOPE = line([(0, 60), (90, 60), (128, 100)], 26)
WIRE = line([(128, 100), (150, 140), (110, 200), (60, 210)], 3)
APART = line([(235, 20), (235, 120)], 3)


def near(mask: NDArray[np.bool_], **changes: float) -> NDArray[np.float32]:
    probability = torch.from_numpy(mask.astype(np.float32))[None, None]
    return nearness(probability, **{**NUMBERS, **changes})[0, 0].numpy()  # type: ignore[arg-type]


def cells(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    side = mask.shape[0] // 8
    return mask.reshape(side, 8, side, 8).max((1, 3))


def test_dijkstra_agrees() -> None:
    """Shortest paths over the same grid of cells by scikit-image, the cost of a cell paid on entering it."""
    mask = SCOPE | WIRE | APART
    probability = torch.from_numpy(mask.astype(np.float32))[None, None]
    result = nearness(probability, **NUMBERS)  # type: ignore[arg-type]
    fine = mask.reshape(64, 4, 64, 4).mean((1, 3))
    padded = np.pad(fine, 1, mode="edge")
    eroded = np.min([padded[a : a + 64, b : b + 64] for a in range(3) for b in range(3)], 0)
    padded = np.pad(eroded, 1, mode="edge")
    opened = np.max([padded[a : a + 64, b : b + 64] for a in range(3) for b in range(3)], 0)
    seeds = opened.reshape(32, 2, 32, 2).max((1, 3))
    assert (seeds > 0).sum() > 10
    cost = 8 / 64 * np.where(cells(mask), 0.05, 1.0)
    best = np.zeros((32, 32))
    for value in np.unique(seeds[seeds > 0]):  # soft seeds: each level starts with its own probability
        starts = np.argwhere(seeds == value)
        for start in starts:
            way, _ = MCP(cost, fully_connected=True).find_costs([start])
            best = np.maximum(best, value * np.exp(-(way - cost[tuple(start)])))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(best)[None, None], scale_factor=8.0, mode="bilinear", align_corners=False
    )
    assert torch.allclose(result.double(), expected, atol=1e-5)


def test_the_wire_is_nearer_along_itself_than_what_stands_apart() -> None:
    result = near(SCOPE | WIRE | APART)
    assert np.median(result[SCOPE]) > 0.95
    assert result[WIRE].min() > 0.7
    assert result[APART].max() < 0.3
    assert result.min() >= 0
    assert result.max() <= 1


def test_a_gap_costs_its_length() -> None:
    """Straight to the right of an upright shaft of full cells; on the wire a cell costs 1/20 of a free one."""
    shaft = np.zeros((256, 256), np.bool_)
    shaft[:, 64:96] = True
    free = near(shaft)
    assert free[128, 100] > free[128, 140] > free[128, 200] > 0
    # cell centres at 99.5 + 8k: k + 1 cells entered
    assert free[124:132, 211:213].mean() == pytest.approx(math.exp(-(15 * 8 / 64)), rel=0.02)
    shaft[128, 96:] = True
    assert near(shaft)[131, 211:213].mean() == pytest.approx(math.exp(-0.05 * 15 * 8 / 64), rel=0.05)


def test_a_wire_alone_is_no_endoscope() -> None:
    assert near(WIRE | APART).max() < 0.35
    assert near(np.zeros((256, 256), np.bool_)).max() == 0
    assert near(np.ones((256, 256), np.bool_)).min() == 1


def test_ways_longer_than_the_reach_count_as_none() -> None:
    shaft = np.zeros((256, 256), np.bool_)
    shaft[:, :32] = True
    result = near(shaft, reach_px=64)
    assert result[100, 80] > 0
    assert result[100, 130:].max() == 0


def test_nothing_flows_back_through_the_nearness() -> None:
    probability = torch.rand(1, 1, 64, 64, requires_grad=True)
    assert not nearness(probability, opening_px=12, decay_px=64, reach_px=64).requires_grad


def cascade(heads: tuple[str, ...], **options: object) -> CascadeUNet:
    torch.manual_seed(0)
    values = NetworkValues(name="cascade", features=(4, 6, 8, 8), deep_supervision=1)
    network = build_network(values, heads, options=options)
    assert isinstance(network, CascadeUNet)
    return network


@pytest.mark.parametrize(
    ("heads", "index"),
    [
        (("endoscope", "guidewire", "instrument"), 2),
        (("endoscope", "guidewire", "cbd", "stone", "instrument", "duct"), 4),
        (("instrument", "guidewire"), 0),
    ],
)
def test_stage_one_gives_the_instrument_at_its_place(heads: tuple[str, ...], index: int) -> None:
    network = cascade(heads)
    batch = frames(2, 1, 64, 64)
    for level, (whole, one) in enumerate(zip(network(batch), network.first.levels(batch, True), strict=True)):
        assert whole.shape == (2, len(heads), 64 >> level, 64 >> level)
        assert torch.allclose(whole[:, index : index + 1], one, atol=1e-5)


def test_both_stages_learn_at_once() -> None:
    """The guidewire's loss reaches stage 1 through its map; the instrument's loss does not reach stage 2."""
    network = cascade(("endoscope", "guidewire", "instrument"))
    network(frames(2, 1, 64, 64))[0][:, 1].square().mean().backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in network.first.encoder.parameters())
    network.zero_grad()
    network(frames(2, 1, 64, 64))[0][:, 2].square().mean().backward()
    assert all(p.grad is None or not p.grad.any() for p in network.second.parameters())


def test_stage_two_looks_at_map_and_nearness() -> None:
    network = cascade(("endoscope", "guidewire", "instrument")).eval()
    weight = network.second.encoder[0][0].weight
    assert weight.shape[1] == 3, "image, map, nearness"
    batch = frames(1, 1, 64, 64)
    before = network(batch)[:, :2]
    for channel in (1, 2):
        with torch.no_grad():
            kept = weight[:, channel].clone()
            weight[:, channel] += 5.0
            network.first.heads.layers[0].bias.fill_(2.0)
            assert not torch.allclose(network(batch)[:, :2], before, atol=1e-3)
            weight[:, channel] = kept


def test_the_instrument_is_never_guessed() -> None:
    values = NetworkValues(name="cascade", features=(4, 6, 8, 8), deep_supervision=0)
    for heads in (3, ("endoscope", "guidewire"), ("instrument",)):
        with pytest.raises(DocumentError, match="which head is the instrument"):
            build_network(values, heads)
    with pytest.raises(DocumentError, match="which head"):
        build_network(values, 3, options={"instrument_head": 3})
    named = build_network(values, ("endoscope", "guidewire", "instrument"))
    counted = build_network(values, 3, options={"instrument_head": 2})
    assert named.instrument_head == counted.instrument_head == 2
    with pytest.raises(ValueError, match="4 or more"):
        CascadeUNet(heads=2, instrument_head=1, features=(4, 6, 8))
