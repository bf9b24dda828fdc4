"""Measures of single frames, on arrays whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from ercpseg.fingerprint.intensity import locate_field, measure_intensity
from ercpseg.fingerprint.structure import QUANTILES, measure_structure

Y, X = np.mgrid[:256, :256]
WHOLE = np.ones((256, 256), bool)


def test_noise_is_found_whatever_lies_under_it() -> None:
    rng = np.random.default_rng(0)
    smooth = 30000 + 60 * X + 40 * Y
    lines = np.where(X % 40 < 2, -4000, 0)
    pixels = (smooth + lines + rng.normal(0, 300, WHOLE.shape)).astype(np.uint16)
    measures = measure_intensity(pixels, WHOLE, 16)
    # In units of the frame's standard deviation; a tenth of tolerance for 65,000 samples with lines among them.
    assert measures.noise_sd * pixels.std() == pytest.approx(300, rel=0.1)


def test_mean_and_spread_are_shares_of_the_stored_bits_inside_the_field() -> None:
    pixels = np.zeros((256, 256), np.uint16)
    field = X >= 128
    pixels[:, 128:192], pixels[:, 192:] = 1000, 3000
    measures = measure_intensity(pixels, field, 12)
    assert measures.mean_frac == pytest.approx(2000 / 4095)
    assert measures.sd_frac == pytest.approx(1000 / 4095)
    assert measures.field_frac == 0.5


def test_a_constant_or_tiny_frame_has_no_noise() -> None:
    for shape in ((64, 64), (2, 2), (1, 9)):
        measures = measure_intensity(np.full(shape, 7, np.uint8), np.ones(shape, bool), 8)
        assert (measures.noise_sd, measures.sd_frac) == (0.0, 0.0)


@pytest.mark.parametrize("side", [180, 700, 1300])
def test_a_round_field_is_located_at_any_size(side: int) -> None:
    y, x = np.mgrid[:side, :side]
    disc = np.hypot(y - side / 2, x - side / 2) < 0.48 * side
    pixels = np.where(disc, 120 + (x + y) % 40, 2).astype(np.uint8)
    found = locate_field(pixels)
    assert found.shape == pixels.shape
    # Looked for on every n-th pixel: the rim may be off by n, here at most 6 of 1300 px.
    assert np.mean(found != disc) < 0.02


@pytest.mark.parametrize("width", [3, 6, 20, 60])
def test_a_bar_has_its_width_and_length(width: int) -> None:
    mask = (Y >= 100) & (100 + width > Y) & (X >= 20) & (X < 220)
    measures = measure_structure(mask, mask.astype(np.uint8), WHOLE)
    assert np.median(measures.widths_px) == pytest.approx(width, abs=0.07 * width + 0.01)
    assert len(measures.widths_px) == QUANTILES
    # The skeleton of a bar ends about half a width before the bar does, or forks into its corners.
    assert 200 - 1.1 * width <= measures.length_px <= 200 + 2 * width
    assert measures.area_px == 200 * width
    assert measures.components == 1


def test_a_long_line_is_measured_at_some_places() -> None:
    """A line whose left half is 3 px wide and whose right half is 9 px: half of the widths are of each."""
    mask = (Y >= 100) & (Y < 103) & (X >= 5) & (X < 250) | (Y >= 97) & (Y < 106) & (X >= 128) & (X < 250)
    widths = measure_structure(mask, mask.astype(np.uint8), WHOLE).widths_px
    assert (widths[3], widths[-4]) == (3, 9)
    assert 0.4 < np.mean(widths < 5) < 0.6


def test_components_and_shares() -> None:
    mask = ((X - 50) ** 2 + (Y - 50) ** 2 < 100) | ((X - 150) ** 2 + (Y - 50) ** 2 < 400)
    field = X < 100
    measures = measure_structure(mask, np.zeros(mask.shape, np.uint8), field)
    assert measures.components == 2
    small, large = sorted(measures.component_areas_px)
    assert small == pytest.approx(np.pi * 100, rel=0.05)
    assert large == pytest.approx(np.pi * 400, rel=0.05)
    assert measures.foreground_frac == small / field.sum()
    assert measures.outside_frac == pytest.approx(large / (small + large))


@pytest.mark.parametrize("radius", [1, 4, 40])
def test_contrast_is_inside_minus_ring(radius: int) -> None:
    mask = np.hypot(X - 128, Y - 128) <= radius
    pixels = np.where(mask, 60, 100).astype(np.uint8)
    assert measure_structure(mask, pixels, WHOLE).contrast_grey == pytest.approx(-40)


def test_contrast_without_a_ring_is_unknown() -> None:
    assert measure_structure(WHOLE, np.zeros(WHOLE.shape, np.uint8), WHOLE).contrast_grey is None


def test_a_single_pixel_can_be_measured() -> None:
    mask = (X == 10) & (Y == 10)
    measures = measure_structure(mask, mask.astype(np.uint8), WHOLE)
    assert (measures.components, measures.length_px) == (1, 0.0)
    assert measures.widths_px[0] > 0
