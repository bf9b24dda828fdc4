"""Filters of published systems on frames of a few pixels, worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ercpseg.documents.plan import PreparationValues
from ercpseg.frames.condition import enhanced, filtered
from ercpseg.frames.prepare import prepare, thicken


def values(**other: Any) -> PreparationValues:
    return PreparationValues(**{"working_long_side_px": 16, "clip_percentiles": (0, 100), "field_mask": False} | other)


def test_a_grey_erosion_thickens_a_dark_line_and_where_devices_are_bright_a_bright_one() -> None:
    dark = np.full((8, 8), 200, np.uint8)
    dark[:, 4] = 50
    thick = np.where(np.isin(np.arange(8), (3, 4, 5)), 50, 200) * np.ones((8, 1))
    assert (filtered(dark, values(erode_px=3)) == thick).all()
    assert (filtered(255 - dark, values(erode_px=3, invert=True)) == 255 - thick).all()
    assert filtered(dark, values()) is dark


def test_equalisation_gives_every_grey_value_its_rank() -> None:
    # Half of the pixels 10, a quarter 20, a quarter 90: half of the equal ones lie below each, so ¼, ⅝ and ⅞.
    pixels = np.repeat([10, 10, 20, 90], 16).reshape(8, 8).astype(np.uint8)
    image = enhanced(pixels, None, values(equalise=True))
    assert sorted(set(image.ravel().tolist())) == [0.25, 0.625, 0.875]
    assert (image[pixels == 20] == 0.625).all()


def test_outside_the_field_nothing_is_counted_and_all_is_zero() -> None:
    pixels = np.repeat([10, 10, 20, 90], 16).reshape(8, 8).astype(np.uint16)
    field = pixels < 90
    image = enhanced(pixels, field, values(equalise=True))
    assert np.unique(image[field]) == pytest.approx([1 / 3, 5 / 6])


def test_sharpening_subtracts_the_laplacian_of_four_neighbours() -> None:
    # A step from 0 to 1: the Laplacian is +1 left of it and −1 right of it, so −k and 1 + k.
    pixels = np.zeros((8, 8), np.uint8)
    pixels[:, 4:] = 100
    image = enhanced(pixels, None, values(sharpen=0.5))
    assert image[3].tolist() == [0, 0, 0, -0.5, 1.5, 1, 1, 1]


def test_prepared_frames_have_mean_zero_and_sd_one_inside_the_field() -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (16, 16)).astype(np.uint16)
    image, _ = prepare(pixels, values(equalise=True, sharpen=1.0))
    assert image.mean() == pytest.approx(0, abs=1e-6)
    assert image.std() == pytest.approx(1, abs=1e-5)


def test_one_z_score_for_all_frames_leaves_faint_contrast_faint() -> None:
    pixels = np.full((16, 16), 100, np.uint8)
    pixels[8:] = 110
    image, _ = prepare(pixels, values(dataset_mean_sd=(90.0, 20.0)))
    assert image[0, 0, 0] == pytest.approx(0.5)  # (100 − 90)/20
    assert image[0, 15, 0] == pytest.approx(1.0)
    inverted, _ = prepare(pixels, values(dataset_mean_sd=(90.0, 20.0), invert=True))
    assert inverted[0, 0, 0] == pytest.approx(-0.5)


def test_only_the_named_structure_is_thickened() -> None:
    bitmask = np.zeros((7, 7), np.uint8)
    bitmask[3, 3] = 2 | 4
    thick = thicken(bitmask, {2: 1})
    cross = {(3, 3), (2, 3), (4, 3), (3, 2), (3, 4)}
    assert {tuple(p) for p in np.argwhere(thick & 2)} == cross
    assert np.argwhere(thick & 4).tolist() == [[3, 3]]
    square = {(y, x) for y in (2, 3, 4) for x in (2, 3, 4)}
    assert {tuple(p) for p in np.argwhere(thicken(bitmask, {2: 1}, square=True) & 2)} == square
    assert int((thicken(bitmask, {2: 2}, square=True) == 2 | 4).sum()) == 1
    assert int((thicken(bitmask, {2: 2}, square=True) & 2 > 0).sum()) == 25  # 5 × 5
    assert bitmask.sum() == 6
