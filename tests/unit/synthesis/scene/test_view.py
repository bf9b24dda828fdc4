"""Millimetres to pixels by hand: a cone from the focus, a turn, a mirror."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ercpseg.synthesis.scene.view import View

STRAIGHT = View((100, 80), (0.5, 0.5), 0.0, False, (0.0, 0.0), 1.4, 800.0)


def test_the_axis_meets_the_middle_of_the_picture(view):
    # Pixel centres are integers, so the middle of 100 × 80 px is (49.5, 39.5).
    np.testing.assert_allclose(view.pixels(np.zeros((1, 2))), [[49.5, 39.5]])


def test_ten_millimetres_are_twenty_pixels_of_half_a_millimetre(view):
    np.testing.assert_allclose(view.pixels(np.array([[10.0, -5.0]])), [[69.5, 29.5]])


@pytest.mark.parametrize(("z_mm", "grown"), [(0, 1.0), (160, 1.25), (-200, 0.8)])
def test_what_is_nearer_to_the_focus_is_larger(view, z_mm, grown):
    # Similar triangles: 800 / (800 − 160) = 1.25, 800 / (800 + 200) = 0.8.
    assert view.grown(z_mm) == pytest.approx(grown)
    assert view.scale(z_mm) == pytest.approx(2 * grown)
    (place,) = view.pixels(np.array([[10.0, 0.0]]), z_mm)
    assert place[0] - 49.5 == pytest.approx(20 * grown)


def test_a_turn_is_clockwise_and_a_mirror_swaps_left_and_right(view):
    down, right = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    turned = replace(view, turn_deg=90.0)
    np.testing.assert_allclose(turned.turned(right), [[1, 0]], atol=1e-12)  # right becomes down
    np.testing.assert_allclose(turned.turned(down), [[0, -1]], atol=1e-12)  # down becomes left
    mirrored = replace(view, mirrored=True)
    np.testing.assert_allclose(mirrored.turned(right), [[0, -1]])
    np.testing.assert_allclose(mirrored.turned(down), [[1, 0]])


def test_pixels_need_not_be_square():
    view = replace(STRAIGHT, mm_per_px=(0.5, 0.25))
    np.testing.assert_allclose(view.pixels(np.array([[10.0, 10.0]])), [[69.5, 79.5]])
    assert view.px_per_mm == pytest.approx(np.sqrt(2 * 4))


def test_the_table_moves_the_picture_not_the_patient(view):
    moved = replace(view, turn_deg=30.0).moved(np.array([3.0, -4.0]))
    np.testing.assert_allclose(moved.pixels(np.zeros((1, 2))), [[49.5 + 6, 39.5 - 8]])


@given(
    y=st.floats(-100, 100),
    x=st.floats(-100, 100),
    z=st.floats(-100, 100),
    turn=st.floats(-180, 180),
    mirrored=st.booleans(),
    aside=st.floats(-20, 20),
)
def test_rays_lead_back_to_where_they_came_from(y, x, z, turn, mirrored, aside):
    view = replace(STRAIGHT, turn_deg=turn, mirrored=mirrored, offset_mm=(aside, 2.0), mm_per_px=(0.4, 0.3))
    place = np.array([[y, x]])
    np.testing.assert_allclose(view.patient_points(view.pixels(place, z), z), place, atol=1e-6)


def test_a_room_draws_what_its_domain_allows(round_field, rng):
    for _ in range(20):
        view = View.sample(rng, round_field, 256)
        assert view.shape == (256, 256)
        assert 194 <= view.mm_per_px[0] * 256 <= 217
        assert 1.3 <= view.magnification <= 1.5
