"""Doubts about annotations, on masks that deserve them and masks that do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ercpseg.fingerprint.flags import has_small_holes
from ercpseg.fingerprint.structure import measure_structure
from ercpseg.structures import Mask

Y, X = np.mgrid[:300, :300]
WHOLE = np.ones(Y.shape, bool)
DISC = np.hypot(Y - 150, X - 150) < 60
NOISE = 4.0


def frame(dark: Mask, depth: float = 60, blur: float = 0.8) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, NOISE, dark.shape)
    return (150 - depth * gaussian_filter(dark.astype(float), blur) + noise).clip(0, 255).astype(np.uint8)


def flags(mask: Mask, pixels: np.ndarray | None = None, **more: Mask) -> tuple[str, ...]:
    grey = frame(mask) if pixels is None else pixels
    return measure_structure(mask, grey, WHOLE, noise_grey=NOISE, **more).flags


def line(width: float, angle: float = 20.0) -> Mask:
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    along, across = (X - 150) * cos + (Y - 150) * sin, (Y - 150) * cos - (X - 150) * sin
    return (np.abs(along) < 120) & (np.abs(across) <= width / 2)


def test_a_clean_mask_has_no_flags() -> None:
    assert flags(DISC) == ()
    assert flags(line(3)) == ()


@pytest.mark.parametrize(("size", "found"), [(1, True), (3, True), (4, False), (20, False)])
def test_holes_of_a_few_pixels(size: int, found: bool) -> None:
    hole = (np.abs(Y - 150) * 2 < size) & (np.abs(X - 150) * 2 < size) if size % 2 else (
        (Y >= 150) & (150 + size > Y) & (X >= 150) & (150 + size > X)
    )  # fmt: skip
    assert has_small_holes(DISC & ~hole) is found
    assert ("holes" in flags(DISC & ~hole)) is found


def test_a_dent_and_a_pore_to_the_outside_are_no_holes() -> None:
    assert not has_small_holes(DISC & ~((Y < 150) & (X == 150)))
    # Background is 4-connected: pixels that touch at a corner do not let it out.
    small = np.ones((5, 5), bool)
    small[1, 1] = small[0, 0] = False
    assert has_small_holes(small)


@pytest.mark.parametrize(("specks", "found"), [(1, True), (3, True), (4, False)])
def test_debris_beside_a_larger_component(specks: int, found: bool) -> None:
    assert ("debris" in flags(DISC | ((Y == 5) & (specks > X)))) is found


def test_small_components_alone_are_no_debris() -> None:
    assert "debris" not in flags(((Y == 5) & (X < 3)) | ((Y == 50) & (X < 2)))


def test_a_single_pixel() -> None:
    assert flags((Y == 100) & (X == 100)) == ("speck",)


@pytest.mark.parametrize("angle", [0, 20, 45, 90])
def test_a_mask_twice_as_wide_as_its_wire_is_noticed(angle: float) -> None:
    dark = frame(line(4, angle))
    assert flags(line(4, angle), dark) == ()
    assert flags(line(9, angle), dark) == ("wide",)
    assert flags(line(9, angle), 255 - dark) == ("wide",), "a bright line is one too"


def test_a_mask_that_lies_beside_the_middle_is_not_wide() -> None:
    assert flags(line(5), frame(np.roll(line(4), 1, axis=0))) == ()


def test_nothing_is_said_of_a_line_that_is_not_seen() -> None:
    assert flags(line(9), frame(np.zeros(Y.shape, bool))) == ()


def test_a_wire_in_a_duct_says_nothing_of_the_duct() -> None:
    wire, duct = line(3), line(11)
    grey = frame(wire)
    assert flags(duct, grey) == ("wide",)
    assert flags(duct, grey, others=wire) == ()
    # What covers all of the mask is the ground that the line lies on.
    assert flags(line(9), frame(line(4)), others=line(60)) == ("wide",)
