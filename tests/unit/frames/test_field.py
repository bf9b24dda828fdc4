"""The exposed field on frames made by hand, against the shape that was drawn."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from ercpseg.frames.field import COARSE_SIDE_PX, find_field

N = 200
Y, X = np.mgrid[:N, :N].astype(float)
Array = np.ndarray


def circle(radius: float = 85, y: float = 99.5, x: float = 99.5) -> Array:
    return (Y - y) ** 2 + (X - x) ** 2 <= radius**2


def rectangle() -> Array:
    return (Y >= 20) & (Y < 170) & (X >= 35) & (X < 180)


def octagon() -> Array:
    return (np.abs(Y - 99.5) <= 85) & (np.abs(X - 99.5) <= 85) & (np.abs(Y - 99.5) + np.abs(X - 99.5) <= 120)


def frame(field: Array, *, surround: int = 4, noise: int = 20, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    inside = 120 + rng.integers(-noise, noise + 1, field.shape)
    return np.where(field, inside, surround + rng.integers(0, 3, field.shape)).astype(np.uint8)


def close(found: Array, drawn: Array, pixels: int = 1) -> bool:
    """Every pixel of one lies within ``pixels`` of the other."""
    grown = [ndimage.binary_dilation(a, iterations=pixels, structure=np.ones((3, 3))) for a in (found, drawn)]
    return bool((found <= grown[1]).all() and (drawn <= grown[0]).all())


@pytest.mark.parametrize("shape", [circle, rectangle, octagon])
def test_convex_fields(shape: object) -> None:
    drawn = shape()  # type: ignore[operator]
    found = find_field(frame(drawn))
    assert found.dtype == np.bool_
    assert close(found, drawn)
    assert found[drawn].all(), "nothing exposed is left out"


def test_a_rectangle_is_exact() -> None:
    assert np.array_equal(find_field(frame(rectangle())), rectangle())


def test_a_field_cut_by_the_border_of_the_frame() -> None:
    drawn = circle(90, y=40, x=150)
    assert close(find_field(frame(drawn)), drawn)


def test_a_full_frame() -> None:
    assert find_field(frame(np.ones((N, N), bool))).all()


def test_a_thin_collimation_is_not_worth_a_mask() -> None:
    drawn = np.zeros((N, N), bool)
    drawn[2:-2, 2:-2] = True  # (196/200)² = 96 %
    assert find_field(frame(drawn)).all()


def test_a_dark_device_that_crosses_the_border_belongs_to_the_field() -> None:
    drawn = circle()
    pixels = frame(drawn)
    pixels[:120, 90:115] = 4  # from outside to beyond the centre, as dark as the surround
    found = find_field(pixels)
    assert found[60:120, 90:115].all()
    assert close(
        found, drawn, pixels=3
    )  # the chord over 25 px of a circle of 85 px is 85 − √(85² − 12.5²) = 0.9 px deep


@pytest.mark.parametrize("columns", [slice(90, 115), slice(60, 80), slice(130, 136)])
def test_a_dark_device_that_cuts_the_field_in_two(columns: slice) -> None:
    drawn = circle()
    pixels = frame(drawn)
    pixels[:, columns] = 4
    assert close(find_field(pixels), drawn, pixels=3), "both halves belong to it"


def test_dark_things_inside_belong_to_the_field() -> None:
    drawn = circle()
    pixels = frame(drawn)
    pixels[80:120, 80:120] = 4
    assert close(find_field(pixels), drawn)


def test_what_is_blacker_than_the_surround_hides_it() -> None:
    """The known limit of R3's threshold, min + 2 % of the range; the fall-back is the whole frame, never a part of it."""
    pixels = frame(circle(), surround=10)
    pixels[80:120, 80:120] = 0
    assert find_field(pixels).all()


def test_burned_in_text_outside_does_not_count() -> None:
    drawn = circle(80)
    pixels = frame(drawn)
    pixels[5:12, 3:40:4] = 255
    pixels[190:197, 150:195:3] = 255
    assert close(find_field(pixels), drawn)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_a_constant_frame_is_all_field(value: int) -> None:
    assert find_field(np.full((40, 50), value, np.uint8)).all()


def test_a_dark_frame_with_a_few_bright_pixels_is_all_field() -> None:
    pixels = np.zeros((N, N), np.uint8)
    pixels[10:14, 10:14] = 255
    assert find_field(pixels).all()


def test_an_inverted_frame_is_all_field() -> None:
    """A bright surround is not collimation; polarity is the importers' task."""
    assert find_field(255 - frame(circle())).all()


def test_a_field_that_is_too_small_is_not_trusted() -> None:
    assert find_field(frame(circle(40))).all()  # π·40² / 200² = 12.6 %
    assert not find_field(frame(circle(50))).all()  # 19.6 %


def test_sixteen_bits_and_a_raised_black_level() -> None:
    drawn = octagon()
    pixels = frame(drawn).astype(np.uint16) * 200 + 1000
    assert np.array_equal(find_field(pixels), find_field(frame(drawn)))
    assert close(find_field(pixels), drawn)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2), (3, 3)])
def test_tiny_frames(shape: tuple[int, int]) -> None:
    pixels = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)
    assert find_field(pixels).shape == shape


@pytest.mark.parametrize("times", [2, 3, 7])
@pytest.mark.parametrize("shape", [circle, rectangle, octagon])
def test_large_frames(shape: object, times: int) -> None:
    """Parts are told apart on every n-th pixel; where the field ends is looked up on all of them."""
    drawn = shape()[3:-2, 1:].repeat(times, axis=0).repeat(times, axis=1)  # type: ignore[operator]
    pixels = frame(drawn)
    step = max(drawn.shape) // COARSE_SIDE_PX
    pixels[4 : 4 + 7 * times, 9 : 60 * times : 3] = 255  # burned-in text
    drawn_hull = find_field(np.where(drawn, np.uint8(120), np.uint8(4)))
    found = find_field(pixels)
    assert close(found, drawn, pixels=times)
    assert close(found, drawn_hull, pixels=max(1, step))


def test_only_what_lies_close_to_a_large_field_may_count_as_part_of_it() -> None:
    drawn = np.zeros((1024, 1024), bool)
    drawn[101:900, 101:900] = True
    pixels = frame(drawn)
    assert np.array_equal(find_field(pixels), drawn)
    pixels[300:400, 94] = pixels[300:400, 80] = 255  # 6 px and more away; every 4th pixel is looked at
    assert np.array_equal(find_field(pixels), drawn)


def test_turning_the_frame_turns_the_field() -> None:
    drawn = circle(85, y=90, x=110)
    pixels = frame(drawn)
    for turns in (1, 2, 3):
        assert close(find_field(np.rot90(pixels, turns)), np.rot90(drawn, turns))
