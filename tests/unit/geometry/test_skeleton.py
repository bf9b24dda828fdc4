"""Skeleton, width and length on hand-drawn arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import distance_transform_edt, label

from ercpseg.geometry.skeleton import length_px, local_widths_px, skeletonise

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))


def draw(*rows: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in rows])


def bar(width: int, *, length: int = 90, transpose: bool = False) -> np.ndarray:
    mask = np.zeros((40, length + 20), bool)
    mask[10 : 10 + width, 10 : 10 + length] = True
    return mask.T.copy() if transpose else mask


@pytest.mark.parametrize("width", range(1, 16))
@pytest.mark.parametrize("transpose", [False, True])
def test_a_straight_line_is_as_wide_as_drawn(width: int, transpose: bool) -> None:
    widths = local_widths_px(bar(width, transpose=transpose))
    assert np.median(widths) == width
    # Zhang-Suen skeletons end in a short hook towards a corner, where the line is nearer to its end than to its side.
    assert np.mean(np.abs(widths - width) <= 1) > 0.97


@pytest.mark.parametrize("angle", [10.0, 30.0, 45.0, 63.0])
@pytest.mark.parametrize("width", [3.0, 5.0, 8.0, 12.0])
def test_a_slanted_line_is_as_wide_as_drawn_within_a_pixel(width: float, angle: float) -> None:
    y, x = np.mgrid[:120, :120] - 60.3
    t = math.radians(angle)
    mask = np.abs(y * math.cos(t) - x * math.sin(t)) <= width / 2
    assert abs(np.median(local_widths_px(mask)) - width) <= 1


def test_widths_equal_a_distance_transform_of_quarters() -> None:
    # The definition, computed the slow way: a transform of the mask at twice the size, largest of four quarters.
    rng = np.random.default_rng(3)
    for _ in range(20):
        mask = rng.random((17, 23)) < rng.uniform(0.2, 0.95)
        twice = np.pad(mask, 1).repeat(2, 0).repeat(2, 1)
        quarters = distance_transform_edt(twice)[2:-2, 2:-2]
        largest = quarters.reshape(17, 2, 23, 2).max(axis=(1, 3))
        np.testing.assert_allclose(local_widths_px(mask), largest[skeletonise(mask)])


def test_widths_at_a_given_line_only() -> None:
    mask = bar(5)
    line = np.zeros_like(mask)
    line[12, 50:53] = True  # the middle row of rows 10..14
    line[0, 0] = True  # outside the mask: left out
    mask[12, 80] = False
    line[12, 80] = True  # a hole of the mask: left out, too
    assert local_widths_px(mask, line).tolist() == [5.0, 5.0, 5.0]


def test_a_mask_that_fills_the_frame_ends_at_its_border() -> None:
    # 5 × 40, all set: beyond the frame all is background, so the width is 5, not infinite.
    assert np.median(local_widths_px(np.ones((5, 40), bool))) == 5


def test_empty_masks() -> None:
    empty = np.zeros((4, 6), bool)
    assert not skeletonise(empty).any()
    assert local_widths_px(empty).shape == (0,)
    assert length_px(empty) == 0.0


@pytest.mark.parametrize(
    ("rows", "length"),
    [
        (("#",), 0.0),
        (("####",), 3.0),  # three steps between four centres
        (("#...", ".#..", "..#.", "...#"), 3 * math.sqrt(2)),
        (("#..", "#..", "###"), 4.0),  # an L: 2 + 2; the diagonal across the corner is no further step
        (("..#", "..#", "###"), 4.0),  # the same, mirrored: the other diagonal
        (("#..", ".#.", "..#", "..#"), 2 * math.sqrt(2) + 1),
        (("..#", ".#.", "#.."), 2 * math.sqrt(2)),  # the other diagonal
        (("#.#", ".#.", "#.#"), 4 * math.sqrt(2)),  # an X: four arms
        (("##.##",), 2.0),  # two pieces of one step each
        ((".#.", "#.#", ".#."), 4 * math.sqrt(2)),  # a closed loop
    ],
)
def test_length(rows: tuple[str, ...], length: float) -> None:
    mask = draw(*rows)
    assert length_px(mask) == pytest.approx(length)
    assert length_px(np.pad(mask, ((3, 0), (0, 2)))) == pytest.approx(length)


def test_length_of_a_long_curve_is_near_its_arc() -> None:
    # A half circle of radius 100: π·100 = 314.2. Chain lengths of 1 and √2 overrate arcs by up to 8 %.
    y, x = np.mgrid[:220, :220]
    ring = (np.abs(np.hypot(y - 110, x - 110) - 100) <= 1.5) & (y < 110)
    assert 314 < length_px(skeletonise(ring)) < 1.08 * 314.2


@settings(max_examples=60, deadline=None)
@given(masks)
def test_a_skeleton_lies_in_its_mask_and_keeps_its_components(mask: np.ndarray) -> None:
    skeleton = skeletonise(mask)
    assert not (skeleton & ~mask).any()
    eight = np.ones((3, 3))
    assert label(skeleton, eight)[1] == label(mask, eight)[1]
    assert (local_widths_px(mask) >= 1).all()


@settings(max_examples=40, deadline=None)
@given(masks, st.integers(0, 5), st.integers(0, 5))
def test_where_a_mask_lies_changes_nothing(mask: np.ndarray, down: int, right: int) -> None:
    moved = np.pad(mask, ((down, 2), (right, 1)))
    inner = (slice(down, down + mask.shape[0]), slice(right, right + mask.shape[1]))
    assert (skeletonise(moved)[inner] == skeletonise(mask)).all()
    assert (local_widths_px(moved) == local_widths_px(mask)).all()
    assert length_px(moved) == length_px(mask)


@pytest.mark.parametrize("function", [skeletonise, local_widths_px, length_px])
@pytest.mark.parametrize("wrong", [np.ones((3, 3), np.uint8), np.ones((2, 3, 3), bool)])
def test_other_arrays_are_refused(function: object, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected bool of shape \(y, x\)"):
        function(wrong)  # type: ignore[operator]


def test_a_skeleton_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one shape"):
        local_widths_px(np.ones((3, 3), bool), np.ones((3, 4), bool))
