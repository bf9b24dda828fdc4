"""Overlays: colours at known pixels, outlines beside structures, and a picture that stays readable."""

from __future__ import annotations

import time

import numpy as np
import pytest

from ercpseg.frames.overlay import overlay, robust_window
from ercpseg.structures import COLOURS, DEFAULT_STRUCTURES

NAMES = DEFAULT_STRUCTURES
GREEN, RED, BLUE, YELLOW = COLOURS[:4]


def ramp(height: int = 120, width: int = 160) -> np.ndarray:
    return np.tile(np.linspace(20, 220, width).astype(np.uint8), (height, 1))


def box(shape: tuple[int, int], y: slice, x: slice) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[y, x] = True
    return mask


def plain(pixels: np.ndarray) -> np.ndarray:
    return overlay(pixels, {}, NAMES, window=(0, 255), legend=False)


def test_without_masks_the_picture_is_the_frame() -> None:
    pixels = ramp()
    assert np.array_equal(plain(pixels), np.stack([pixels] * 3, axis=-1))


def test_the_outline_lies_just_outside_and_nothing_else_is_painted() -> None:
    pixels = ramp()
    mask = box(pixels.shape, slice(40, 80), slice(50, 100))
    picture = overlay(pixels, {"endoscope": mask}, NAMES, window=(0, 255), legend=False)
    around = box(pixels.shape, slice(39, 81), slice(49, 101)) & ~mask
    assert (picture[around] == GREEN).all()
    assert np.array_equal(picture[~(mask | around)], plain(pixels)[~(mask | around)])


def test_the_fill_is_faint_and_of_the_structures_colour() -> None:
    pixels = np.full((120, 160), 100, np.uint8)
    mask = box(pixels.shape, slice(40, 80), slice(50, 100))
    inside = overlay(pixels, {"cbd": mask}, NAMES, window=(0, 255), legend=False)[60, 75].astype(int)
    expected = 100 + 0.1 * (np.array(BLUE) - 100)
    assert np.abs(inside - expected).max() <= 1
    assert np.abs(inside - 100).max() <= 0.15 * 255


def test_overlapping_fills_do_not_add_up() -> None:
    pixels = np.full((120, 160), 100, np.uint8)
    masks = {name: box(pixels.shape, slice(20, 100), slice(20, 140)) for name in NAMES}
    inside = overlay(pixels, masks, NAMES, window=(0, 255), legend=False)[60, 75].astype(int)
    assert np.abs(inside - 100).max() <= 0.15 * 255


def test_a_wire_stays_visible_between_its_lines_and_under_the_outlines_of_others() -> None:
    pixels = ramp()
    wire = box(pixels.shape, slice(60, 62), slice(10, 150))
    duct = box(pixels.shape, slice(30, 100), slice(40, 90))
    picture = overlay(pixels, {"guidewire": wire, "cbd": duct}, NAMES, window=(0, 255), legend=False)
    outside_duct = wire & ~duct
    assert np.array_equal(
        picture[outside_duct], plain(pixels)[outside_duct]
    )  # the duct's outline crosses at x 39 and 90
    assert tuple(picture[59, 20]) == tuple(picture[62, 120]) == tuple(picture[59, 39]) == RED
    assert tuple(picture[45, 39]) == BLUE


def test_small_structures_are_drawn_over_large_ones() -> None:
    pixels = np.full((120, 160), 100, np.uint8)
    duct = box(pixels.shape, slice(30, 90), slice(40, 120))
    stone = box(pixels.shape, slice(40, 60), slice(120, 140))  # its left outline falls on the duct's last column
    for masks in ({"cbd": duct, "stone": stone}, {"stone": stone, "cbd": duct}):
        picture = overlay(pixels, masks, NAMES, legend=False)
        assert tuple(picture[50, 119]) == YELLOW
        assert tuple(picture[80, 120]) == BLUE


def test_large_frames_get_a_wider_line() -> None:
    pixels = ramp(800, 1024)
    mask = box(pixels.shape, slice(200, 400), slice(200, 400))
    picture = overlay(pixels, {"endoscope": mask}, NAMES, legend=False)
    assert tuple(picture[198, 300]) == tuple(picture[199, 300]) == GREEN
    assert tuple(picture[197, 300]) != GREEN


def test_a_mask_that_fills_or_touches_the_border_is_drawn_without_wrapping() -> None:
    pixels = ramp()
    top = box(pixels.shape, slice(0, 20), slice(0, 60))
    picture = overlay(pixels, {"endoscope": top}, NAMES, window=(0, 255), legend=False)
    assert tuple(picture[20, 30]) == tuple(picture[10, 60]) == GREEN
    assert np.array_equal(picture[-1], plain(pixels)[-1])
    everything = overlay(pixels, {"endoscope": np.ones(pixels.shape, bool)}, NAMES, legend=False)
    assert not (everything == GREEN).all(axis=-1).any()


def test_sixteen_bit_frames_use_the_range_that_is_there() -> None:
    pixels = (ramp().astype(np.uint16) + 3000).astype(np.uint16)
    grey = overlay(pixels, {}, NAMES, legend=False)[..., 0]
    assert grey.min() == 0
    assert grey.max() == 255
    assert (np.diff(grey[0].astype(int)) >= 0).all()


def test_the_window_ignores_the_collimated_border() -> None:
    pixels = np.zeros((200, 200), np.uint8)
    pixels[60:140, 60:140] = np.tile(np.linspace(100, 140, 80).astype(np.uint8), (80, 1))
    low, high = robust_window(pixels)
    assert 98 <= low <= 102
    assert 137 <= high <= 140


def test_a_constant_or_two_valued_frame_does_not_fail() -> None:
    flat = np.full((40, 40), 7, np.uint8)
    assert overlay(flat, {}, NAMES).shape == (40, 40, 3)
    two = np.zeros((40, 40), np.uint8)
    two[:, 20:] = 200
    picture = overlay(two, {}, NAMES)
    assert picture[0, 0, 0] == 0
    assert picture[0, 30, 0] == 255


def test_the_legend_takes_the_emptiest_corner_and_dims_what_is_absent() -> None:
    pixels = np.full((512, 512), 90, np.uint8)
    busy = box(pixels.shape, slice(440, 500), slice(5, 60))  # bottom left, where the legend stands by default
    before = overlay(pixels, {"endoscope": busy}, NAMES, window=(0, 255), legend=False)
    after = overlay(pixels, {"endoscope": busy}, NAMES, window=(0, 255))
    rows, columns = np.nonzero((before != after).any(axis=-1))
    assert rows.min() > 256
    assert columns.min() > 256
    block = after[rows.min() :, columns.min() :].reshape(-1, 3)
    assert (block == GREEN).all(axis=-1).any()
    assert not (block == RED).all(axis=-1).any()
    assert (block == [round(c * 0.4) for c in RED]).all(axis=-1).any()


def test_a_small_frame_has_no_legend() -> None:
    assert np.array_equal(overlay(ramp(), {}, NAMES), overlay(ramp(), {}, NAMES, legend=False))


def test_scale_enlarges_and_keeps_the_line_thin() -> None:
    pixels = ramp()
    mask = box(pixels.shape, slice(40, 80), slice(50, 100))
    picture = overlay(pixels, {"endoscope": mask}, NAMES, legend=False, scale=2)
    assert picture.shape == (240, 320, 3)
    assert tuple(picture[79, 150]) == GREEN
    assert tuple(picture[78, 150]) != GREEN


@pytest.mark.parametrize(
    ("masks", "match"),
    [
        ({"balloon": np.zeros((120, 160), bool)}, "balloon"),
        ({"cbd": np.zeros((10, 10), bool)}, "expected bool"),
        ({"cbd": np.zeros((120, 160), np.uint8)}, "expected bool"),
    ],
)
def test_wrong_masks_are_refused(masks: dict[str, np.ndarray], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        overlay(ramp(), masks, NAMES)


def test_wrong_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8 or uint16"):
        overlay(ramp().astype(float), {}, NAMES)


def test_the_arguments_are_left_alone() -> None:
    pixels, mask = ramp(), box((120, 160), slice(40, 80), slice(50, 100))
    kept = pixels.copy(), mask.copy()
    overlay(pixels, {"stone": mask}, NAMES)
    assert np.array_equal(pixels, kept[0])
    assert np.array_equal(mask, kept[1])


def test_it_is_fast_enough_for_live_use() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (512, 512), np.uint8)
    masks = {name: box(pixels.shape, slice(50, 450), slice(50 + 20 * i, 400)) for i, name in enumerate(NAMES)}
    overlay(pixels, masks, NAMES)
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        overlay(pixels, masks, NAMES)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05  # about 4 ms on a quiet core; the slack is for busy test machines
