"""Components on hand-drawn arrays: 8-connected foreground, 4-connected background."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import binary_fill_holes, label

from ercpseg.geometry.components import (
    FOUR,
    component_areas_px,
    fill_holes,
    keep_labels,
    label_components,
    label_holes,
    largest_component,
    remove_small,
)
from ercpseg.geometry.crop import bounding_box


def draw(*rows: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in rows])


THREE = draw(
    ".......",
    ".#..##.",
    "..#.##.",
    ".......",
    "......#",
)


def test_diagonal_neighbours_are_one_component() -> None:
    labels, n = label_components(THREE)
    assert n == 3
    assert labels[1, 1] == labels[2, 2] == 1  # joined by a corner only
    assert component_areas_px(THREE).tolist() == [2, 4, 1]


def test_largest() -> None:
    assert (largest_component(THREE) == draw(".......", "....##.", "....##.", ".......", ".......")[:, :]).all()
    tie = draw("##.##")
    assert largest_component(tie).tolist() == [[True, True, False, False, False]]


@pytest.mark.parametrize(("least", "left"), [(1, 7), (1.5, 6), (2, 6), (3, 4), (4, 4), (5, 0)])
def test_remove_small_keeps_what_has_the_least_area(least: float, left: int) -> None:
    assert remove_small(THREE, least).sum() == left


def test_holes_are_4_connected_background() -> None:
    # The diamond is closed (its sides touch by corners), so its middle is a hole; the cup is open to the right.
    diamond = draw(".#.", "#.#", ".#.")
    assert fill_holes(diamond)[1, 1]
    assert fill_holes(diamond).sum() == 5  # the frame's corners stay outside
    cup = draw("###", "#..", "###")
    assert (fill_holes(cup) == cup).all()


@settings(deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14)))
def test_holes_are_scipys(mask: np.ndarray) -> None:
    filled = binary_fill_holes(mask, structure=FOUR)
    assert np.array_equal(fill_holes(mask), filled)
    labels, n = label_holes(mask)
    wanted, count = label(filled & ~mask, structure=FOUR)
    assert n == count
    assert np.array_equal(labels, wanted)


def test_a_bay_at_the_frames_border_is_no_hole() -> None:
    bay = draw("#.#", "###")
    assert (fill_holes(bay) == bay).all()


def test_empty_and_full() -> None:
    for mask in (np.zeros((3, 4), bool), np.ones((3, 4), bool)):
        assert (largest_component(mask) == mask).all()
        assert (fill_holes(mask) == mask).all()
        assert (remove_small(mask, 12) == mask).all()
    assert label_components(np.zeros((3, 4), bool))[1] == 0
    assert component_areas_px(np.zeros((3, 4), bool)).shape == (0,)


def test_inputs_are_left_as_they_are() -> None:
    before = THREE.copy()
    for result in (largest_component(THREE), remove_small(THREE, 2), fill_holes(THREE)):
        result[:] = True
    assert (before == THREE).all()


def test_keep_labels() -> None:
    labels, _ = label_components(THREE)
    assert keep_labels(labels, np.array([True, False, True])).sum() == 3


def test_bounding_box() -> None:
    assert bounding_box(THREE) == (slice(1, 5), slice(1, 7))
    assert bounding_box(THREE, 1) == (slice(0, 5), slice(0, 7))  # never beyond the frame
    assert bounding_box(np.zeros((3, 3), bool)) is None
