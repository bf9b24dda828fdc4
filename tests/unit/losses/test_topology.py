"""Losses of centrelines: soft skeletons of bars, clDice and skeleton recall by hand, wires that cross an endoscope."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ercpseg.geometry.drawing import draw_polyline
from ercpseg.geometry.skeleton import skeletonise
from ercpseg.losses.functional import soft_dice
from ercpseg.losses.topology import skeleton_recall, skeleton_tubes, soft_cldice, soft_skeleton
from tests.unit.losses.samples import one


def rows(*values: str) -> torch.Tensor:
    """A picture: # is 1."""
    return one([[float(c == "#") for c in row] for row in values])


def test_a_line_is_its_own_skeleton() -> None:
    line = rows(".......", ".#####.", ".......")
    assert torch.equal(soft_skeleton(line, 3), line)


def test_a_bar_of_three_by_hand() -> None:
    """The cross leaves the middle row without its ends; the rest of the middle row is thinned no further. The corners that
    the opening does not give back stay as well: the skeleton of Lantuéjoul reaches into corners."""
    bar = rows(".......", ".#####.", ".#####.", ".#####.", ".......")
    # eroded: "..###.." in the middle row; dilated again by the square: rows 1 to 3, columns 1 to 5: nothing is left at first,
    # and the eroded line is its own skeleton.
    assert torch.equal(soft_skeleton(bar, 1), rows(".......", ".......", "..###..", ".......", "......."))


@pytest.mark.parametrize("iterations", [1, 2, 4])
def test_iterations_decide_how_wide_a_bar_may_be(iterations: int) -> None:
    """Bars of up to 2·iterations + 2 px have a skeleton; the authors' code ignores the number."""
    for width in range(1, 2 * iterations + 6):
        bar = torch.zeros(1, 1, 40, 60, dtype=torch.float64)
        bar[0, 0, 10 : 10 + width, 15:45] = 1
        middle = soft_skeleton(bar, iterations)[0, 0, :, 30]
        assert bool(middle.any()) == (width <= 2 * iterations + 2), width
        assert middle.sum() <= 2


def test_half_certain_is_half_a_skeleton() -> None:
    line = rows(".......", ".#####.", ".......")
    assert torch.allclose(soft_skeleton(0.5 * line, 2), 0.5 * line)


def test_cldice_worked_out() -> None:
    """Four of seven pixels of a line are found: precision (4+1)/(4+1), sensitivity (4+1)/(7+1)."""
    target = rows(".......", ".......", "#######", ".......", ".......")
    found = rows(".......", ".......", "####...", ".......", ".......")
    expected = 1 - 2 * 1 * 0.625 / 1.625
    assert soft_cldice(probability=found, target=target, iterations=2).item() == pytest.approx(expected)
    # and the other way round: sensitivity 1, precision (4+1)/(7+1): the same
    assert soft_cldice(probability=target, target=found, iterations=2).item() == pytest.approx(expected)


def test_cldice_minds_gaps_and_not_width() -> None:
    target = torch.zeros(1, 1, 40, 60, dtype=torch.float64)
    target[0, 0, 20, 5:55] = 1
    thick = torch.zeros_like(target)
    thick[0, 0, 19:22, 4:56] = 1
    broken = target.clone()
    broken[0, 0, 20, 20:40] = 0
    both = {"target": target, "iterations": 4}
    assert soft_cldice(probability=thick, **both).item() < 0.02
    assert soft_dice(probability=thick, target=target).item() > 0.4
    assert soft_cldice(probability=broken, **both).item() > 0.2


def test_cldice_limits() -> None:
    target = rows(".......", "#######", ".......")
    empty = torch.zeros_like(target)
    assert soft_cldice(probability=target, target=target).item() == pytest.approx(0)
    assert soft_cldice(probability=empty, target=empty).item() == pytest.approx(0)
    # nothing found: precision (0+1)/(0+1), sensitivity 1/8
    assert soft_cldice(probability=empty, target=target).item() == pytest.approx(1 - 2 * (1 / 8) / (9 / 8))


def test_skeleton_recall_worked_out() -> None:
    line = rows("....", "####", "....", "....")
    half = torch.full_like(line, 0.5)
    # Σ p·k = 2, Σ k = 4, smoothing 1
    assert skeleton_recall(probability=half, tube=line).item() == pytest.approx(1 - 3 / 5)
    assert skeleton_recall(probability=line, tube=line).item() == 0
    empty = torch.zeros_like(line)
    assert skeleton_recall(probability=half, tube=empty).item() == 0, "what is absent cannot be missed"


def test_only_recall_counts() -> None:
    """What is predicted beside the line costs nothing: that is for the other terms."""
    line = rows("....", "####", "....", "....")
    assert skeleton_recall(probability=torch.ones_like(line), tube=line).item() == 0


def drawn(points: list[tuple[float, float]], width_px: float) -> np.ndarray:
    return draw_polyline(np.array(points), (96, 96), width_px)


def test_a_wire_inside_an_endoscope_keeps_its_line() -> None:
    """Each head has its own skeleton; the union's, which the authors' code thins, has none on the wire."""
    scope, wire = drawn([(5, 48), (90, 48)], 30), drawn([(15, 57), (80, 57)], 4)
    target = torch.from_numpy(np.stack([scope, wire])[None].astype(np.float64))
    tubes = skeleton_tubes(target)[0].numpy() > 0
    assert tubes[1][wire].mean() > 0.9
    assert not skeletonise(scope | wire)[wire].any()


@pytest.mark.parametrize("width", [1, 3, 5, 9, 21])
def test_a_tube_is_about_five_wide_and_inside(width: int) -> None:
    mask = drawn([(20, 20), (70, 75)], width)
    tube = skeleton_tubes(torch.from_numpy(mask[None, None].astype(np.float64)))[0, 0].numpy() > 0
    assert not (tube & ~mask).any()
    assert skeletonise(mask)[~tube].sum() == 0
    if width <= 3:
        assert (tube == mask).mean() > 0.998
    if width >= 9:
        assert tube.sum() < 0.9 * mask.sum()


def test_an_empty_mask_has_an_empty_tube() -> None:
    assert not skeleton_tubes(torch.zeros(2, 3, 8, 8)).any()


def test_gradients_reach_what_is_missing() -> None:
    target = rows(".......", ".......", "#######", ".......", ".......")
    logits = (target * 4 - 2).clone()
    logits[..., 2, 3] = -2.0  # a gap
    logits.requires_grad_()
    soft_cldice(probability=logits.sigmoid(), target=target, iterations=2).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 0, 2, 3] < 0
