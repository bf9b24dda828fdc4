"""The endoscope: entry, direction, width. Drawn bands; 0° points to the right, 90° down."""

from __future__ import annotations

import numpy as np
import pytest

from ercpseg.fingerprint.scope import circular_sd_deg, find_entry
from ercpseg.fingerprint.structure import measure_structure
from ercpseg.structures import Mask

SIDE = 512
Y, X = np.mgrid[:SIDE, :SIDE]
WHOLE = np.ones(Y.shape, bool)
ROUND = np.hypot(Y - 256, X - 256) < 240
WIDTH = 40.0


def ray(y: float, x: float, angle: float, length: float, width: float = WIDTH) -> Mask:
    """A band of ``length`` from a point in a direction; it begins 60 px before the point."""
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    along, across = (X - x) * cos + (Y - y) * sin, (Y - y) * cos - (X - x) * sin
    return (along >= -60) & (along <= length) & (np.abs(across) <= width / 2)


@pytest.mark.parametrize(
    ("y", "x", "angle", "side"),
    [
        (0, 256, 90, "top"),
        (0, 200, 60, "top"),
        (511, 256, 270, "bottom"),
        (511, 300, 235, "bottom"),
        (256, 0, 0, "left"),
        (200, 0, 25, "left"),
        (256, 511, 180, "right"),
        (300, 511, 210, "right"),
    ],
)
def test_the_side_and_the_direction_of_the_entry(y: float, x: float, angle: float, side: str) -> None:
    entry, axis = find_entry(ray(y, x, angle, 300), WHOLE, WIDTH)
    assert entry == side
    assert axis == pytest.approx(angle, abs=2.5)


@pytest.mark.parametrize(("angle", "side"), [(0, "left"), (90, "top"), (180, "right"), (270, "bottom")])
def test_a_round_field_has_sides_too(angle: int, side: str) -> None:
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    mask = ray(256 - 240 * sin, 256 - 240 * cos, angle, 250) & ROUND
    entry, axis = find_entry(mask, ROUND, WIDTH)
    assert entry == side
    assert abs((axis - angle + 180) % 360 - 180) < 2.5


def test_one_that_touches_no_border_enters_nowhere() -> None:
    assert find_entry(np.hypot(Y - 256, X - 256) < 100, WHOLE, 100) == ("none", None)


def test_the_larger_contact_is_the_entry() -> None:
    shaft, graze = ray(0, 256, 90, 300), (X < 4) & (Y > 300) & (Y < 320)
    assert find_entry(shaft | graze, WHOLE, WIDTH)[0] == "top"


@pytest.mark.parametrize("width", [12, 30, 44])
def test_the_width_is_that_of_the_straight_part(width: int) -> None:
    """A shaft with a bend, and a tip half as wide as long as the shaft is wide, which does not count."""
    shaft = (np.abs(X - 150) <= width / 2) & (Y < 350)
    bend = (np.abs(np.hypot(Y - 350, X - 250) - 100) <= width / 2) & (Y >= 350) & (X <= 250)
    tip = (np.abs(Y - 450) <= width / 4) & (X > 250) & (250 + 2 * width > X)
    pixels = np.zeros(Y.shape, np.uint8)
    found = measure_structure(shaft | bend | tip, pixels, WHOLE, straight=True).straight_width_px
    assert found == pytest.approx(width + 1 - width % 2, abs=0.6)  # an even band around a pixel holds one more


def test_the_spread_of_directions() -> None:
    assert circular_sd_deg(np.array([10.0, 10.0, 10.0])) == pytest.approx(0)
    # Two unit vectors at ±30° have a mean of length cos 30°.
    assert circular_sd_deg(np.array([330.0, 30.0])) == pytest.approx(
        np.degrees(np.sqrt(-2 * np.log(np.cos(np.pi / 6))))
    )
    normal = np.random.default_rng(0).normal(90, 12, 4000) % 360
    assert circular_sd_deg(normal) == pytest.approx(12, rel=0.05)
    assert circular_sd_deg(np.array([5.0])) is None
