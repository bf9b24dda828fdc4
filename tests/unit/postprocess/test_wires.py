"""Wires in pieces, by hand: which ends are joined, along which way, and what hangs together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ercpseg.geometry.morphology import dilate
from ercpseg.postprocess.ends import drawn, find_ends
from ercpseg.postprocess.scene import LEVELS, Scene
from ercpseg.postprocess.wires import MAX_PAIRS, complete_wire, find_bridges, keep_attached

USUAL = {"max_angle_deg": 60.0, "min_probability": 0.15, "min_inside_frac": 0.6}


def scene(probability: np.ndarray | float, shape: tuple[int, int], other: np.ndarray | None = None) -> Scene:
    return Scene(np.ceil(np.broadcast_to(probability, shape) * LEVELS).astype(np.uint8), 0.5, other)


def two_pieces(gap: int, shift: int = 0) -> np.ndarray:
    """Two straight lines 3 px wide along x, 20 px each, ``gap`` px apart, the second ``shift`` px lower."""
    mask = np.zeros((60, 80), bool)
    mask[29:32, 10:30] = True
    mask[29 + shift : 32 + shift, 30 + gap : 50 + gap] = True
    return mask


def test_ends_are_those_of_the_longest_way() -> None:
    mask = np.zeros((30, 60), bool)
    mask[15, 5:55] = True
    mask[12:15, 30] = True  # a spur of 3 px is no end
    ends, width = find_ends(mask)
    assert width == 1
    assert sorted(end.at.tolist() for end in ends) == [[15, 5], [15, 54]]
    left, right = sorted(ends, key=lambda end: end.at[1])
    assert left.direction is not None
    assert right.direction is not None
    assert left.direction.tolist() == [0, -1]
    assert right.direction.tolist() == [0, 1]
    assert left.piece == right.piece


def test_a_slanted_line_points_along_itself_and_a_dot_nowhere() -> None:
    mask = np.eye(30, dtype=bool)
    mask[5, 25] = True
    ends, _ = find_ends(mask)
    dot = [end for end in ends if end.at.tolist() == [5, 25]]
    assert len(dot) == 1
    assert dot[0].direction is None
    last = next(end for end in ends if end.at.tolist() == [29, 29])
    assert last.direction == pytest.approx([math.sqrt(0.5)] * 2)
    assert find_ends(np.zeros((5, 5), bool)) == ([], 0.0)


@pytest.mark.parametrize("width", [0.0, 1, 2, 2.5, 3, 4, 5, 7.3])
def test_drawing_is_dilation(width: float) -> None:
    points = np.array([[0, 0], [10, 12], [10, 13], [29, 39]])
    mask = np.zeros((30, 40), bool)
    mask[tuple(points.T)] = True
    assert (drawn(points, width, mask.shape) == dilate(mask, (width - 1) / 2)).all()
    assert not drawn(points[:0], width, mask.shape).any()


def test_a_gap_is_bridged_as_wide_as_the_wire() -> None:
    mask = two_pieces(gap=8)
    found = complete_wire(mask, scene(0.4, mask.shape), max_gap_px=8)
    assert (found & ~mask)[29:32, 30:38].all()
    assert (found & ~mask).sum() == 24
    bridges, width = find_bridges(mask, scene(0.4, mask.shape), max_gap_px=8, **USUAL)
    assert width == 3
    assert len(bridges) == 1
    assert bridges[0].confidence == pytest.approx(0.4, abs=0.0026)  # the middle of a level


@pytest.mark.parametrize(
    ("gap", "shift", "probability", "bridged"),
    [
        (8, 0, 0.4, True),
        (8, 0, 0.14, False),  # nothing speaks for it
        (8, 0, 0.16, True),
        (9, 0, 0.4, False),  # longer than 8 px
        (8, 12, 0.4, False),  # the ends look past each other: atan(12 / 10) is 50°, but the way would bend too much
        (8, 30, 0.4, False),
    ],
)
def test_what_a_bridge_asks_for(gap: int, shift: int, probability: float, bridged: bool) -> None:
    mask = two_pieces(gap, shift)
    found = complete_wire(mask, scene(probability, mask.shape), max_gap_px=8)
    assert (found != mask).any() == bridged
    assert (found & mask == mask).all()


def test_ends_that_look_elsewhere_are_not_joined() -> None:
    mask = np.zeros((60, 80), bool)
    mask[30, 10:30] = True
    mask[34:54, 36] = True  # below and to the right, running down: it looks up, the first looks right
    sure = scene(0.9, mask.shape)
    # From (30, 29) to (34, 36) it is 8.1 px; the line along x is turned by 30°, the line down by 60°.
    assert (complete_wire(mask, sure, max_gap_px=10, max_angle_deg=61) != mask).any()
    assert (complete_wire(mask, sure, max_gap_px=10, max_angle_deg=59) == mask).all()


def test_the_way_follows_the_probabilities() -> None:
    mask = two_pieces(gap=12)
    probability = np.full(mask.shape, 0.02)
    probability[33, 28:44] = 0.9  # a bow below the straight line
    bridges, _ = find_bridges(mask, scene(probability, mask.shape), max_gap_px=20, **USUAL)
    assert len(bridges) == 1
    assert bridges[0].way[:, 0].max() == 33
    assert bridges[0].confidence > 0.5


def test_inside_the_endoscope_no_evidence_is_needed() -> None:
    mask = two_pieces(gap=8)
    scope = np.zeros_like(mask)
    scope[10:50, 31:37] = True  # 6 of the 8 columns of the gap
    assert (complete_wire(mask, scene(0.0, mask.shape), max_gap_px=8) == mask).all()
    assert (complete_wire(mask, scene(0.0, mask.shape, scope), max_gap_px=8) != mask).any()
    scope[10:50, 33:37] = False  # 2 of 8 columns
    assert (complete_wire(mask, scene(0.0, mask.shape, scope), max_gap_px=8) == mask).all()


def test_an_end_is_used_once_and_no_ring_is_closed() -> None:
    mask = np.zeros((40, 90), bool)
    for start in (5, 30, 55):  # three pieces in a row, 5 px apart
        mask[20, start : start + 20] = True
    bridges, _ = find_bridges(mask, scene(0.5, mask.shape), max_gap_px=30, **USUAL)
    assert len(bridges) == 2
    bow = np.zeros((40, 40), bool)
    bow[5:35, 5] = bow[5, 5:35] = bow[34, 5:35] = True  # an open square: its two ends are of one piece
    assert find_bridges(bow, scene(0.9, bow.shape), max_gap_px=40, **USUAL)[0] == []


def test_a_wire_is_led_to_the_endoscope_once() -> None:
    mask = np.zeros((40, 80), bool)
    mask[20, 30:60] = True
    scope = np.zeros_like(mask)
    scope[5:35, :24] = True
    sure = scene(0.3, mask.shape, scope)
    found = complete_wire(mask, sure, max_gap_px=8)
    assert found[20, 24:60].all()
    assert (found & ~mask & ~scope).sum() == 6
    assert (complete_wire(mask, sure, max_gap_px=4) == mask).all()
    assert (complete_wire(mask, scene(0.1, mask.shape, scope), max_gap_px=8) == mask).all()
    # A wire that touches the endoscope already needs no second root.
    mask[10, 24:60] = True
    assert (complete_wire(mask, sure, max_gap_px=8) == mask).all()


def test_noise_costs_no_minutes() -> None:
    mask = np.random.default_rng(0).random((256, 256)) > 0.93
    bridges, _ = find_bridges(mask, scene(0.5, mask.shape), max_gap_px=12, **USUAL)
    assert len(bridges) <= MAX_PAIRS


def test_pieces_hang_on_the_endoscope_by_a_chain_of_gaps() -> None:
    mask = np.zeros((40, 100), bool)
    scope = np.zeros_like(mask)
    scope[:, :10] = True
    mask[20, 14:20] = True  # 5 px from the endoscope
    mask[20, 24:30] = True  # 5 px from that
    mask[20, 60:70] = True  # far, but the largest
    mask[30, 90:94] = True  # far, and 20 px from it
    kept = keep_attached(mask, scene(0.5, mask.shape, scope), max_gap_px=5)
    assert [kept[:, x].any() for x in (15, 25, 65, 91)] == [True, True, True, False]
    kept = keep_attached(mask, scene(0.5, mask.shape, scope), max_gap_px=4)
    assert [kept[:, x].any() for x in (15, 25, 65, 91)] == [False, False, True, False]
    # What lies inside the endoscope hangs on it, however far its rim is.
    mask[20, 4] = True
    scope[:, :60] = True
    assert keep_attached(mask, scene(0.5, mask.shape, scope), max_gap_px=0)[20, [4, 15, 25, 65]].all()
    scope[:] = False
    mask[20, 4] = False
    # Without an endoscope a wire comes in over the border: (30, 90…93) is 6 px from the right one.
    kept = keep_attached(mask, scene(0.5, mask.shape), max_gap_px=6)
    assert [kept[:, x].any() for x in (15, 25, 65, 91)] == [False, False, True, True]
