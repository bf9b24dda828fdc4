"""Morphology with disks, against footprints and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import binary_dilation

from ercpseg.geometry.morphology import closing, dilate, dilate_square, erode, erode_square, opening

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20))


@pytest.mark.parametrize("radius", [1, 1.41, 1.42, 1.99, 2, 3.2, 6])
def test_dilation_equals_a_footprint(radius: float) -> None:
    mask = np.random.default_rng(0).random((30, 40)) < 0.03
    n = int(radius)
    y, x = np.mgrid[-n : n + 1, -n : n + 1]
    assert (dilate(mask, radius) == binary_dilation(mask, y**2 + x**2 <= radius**2)).all()


@pytest.mark.parametrize("reach", [0, 1, 2, 5])
def test_dilation_by_a_square_equals_a_footprint(reach: int) -> None:
    mask = np.random.default_rng(0).random((30, 40)) < 0.03
    square = np.ones((2 * reach + 1, 2 * reach + 1), bool)
    assert (dilate_square(mask, reach) == binary_dilation(mask, square)).all()
    assert (erode_square(~mask, reach) == ~binary_dilation(mask, square)).all()


def test_opening_deletes_lines_narrower_than_its_disk() -> None:
    for width in range(1, 12):
        mask = np.zeros((40, 80), bool)
        mask[10 : 10 + width, 10:70] = True
        assert opening(mask, 7).any() == (width >= 7)


def test_closing_fills_slits_narrower_than_its_disk() -> None:
    for gap in range(1, 12):
        mask = np.zeros((60, 120), bool)
        mask[10:50, 10:110] = True
        mask[:, 55 : 55 + gap] = False
        # A slit of odd width g is filled by every disk wider than it: one of 7 fills 1 to 6.
        assert closing(mask, 7)[30, 55 : 55 + gap].all() == (gap < 7)


def test_a_shaft_that_leaves_the_frame_stays_whole() -> None:
    mask = np.zeros((50, 40), bool)
    mask[:, 10:30] = True
    assert (opening(mask, 15) == mask).all()
    assert (closing(mask, 15) == mask).all()


def test_a_slit_at_the_border_is_filled_to_the_border() -> None:
    mask = np.ones((30, 30), bool)
    mask[:, 14:17] = False
    assert closing(mask, 9).all()


def test_one_pixel_changes_nothing_and_empty_stays_empty() -> None:
    mask = np.random.default_rng(1).random((20, 20)) < 0.4
    for kernel in (1, 2):  # a disk of 2 px has no neighbour within half a pixel
        assert (opening(mask, kernel) == mask).all()
        assert (closing(mask, kernel) == mask).all()
    empty, full = np.zeros((5, 5), bool), np.ones((5, 5), bool)
    for function in (opening, closing):
        assert not function(empty, 5).any()
        assert function(full, 5).all()
    assert not dilate(empty, 3).any()
    assert erode(full, 3).all()


@settings(max_examples=50, deadline=None)
@given(masks, st.integers(1, 12))
def test_opening_shrinks_closing_grows_and_both_are_idempotent(mask: np.ndarray, kernel: int) -> None:
    opened, closed = opening(mask, kernel), closing(mask, kernel)
    assert not (opened & ~mask).any()
    assert not (mask & ~closed).any()
    # Away from the border; at it, what the mask goes on as beyond the frame changes with the first opening.
    inner = opening(np.pad(mask, kernel), kernel)
    assert (opening(inner, kernel) == inner).all()
