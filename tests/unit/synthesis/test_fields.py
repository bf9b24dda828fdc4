"""Smooth fields and rasterised courses."""

from __future__ import annotations

import numpy as np
import pytest

from ercpseg.synthesis.fields import at_positions, smooth_noise, soft_step
from ercpseg.synthesis.raster import near, spaced, thick_balls


def test_a_plane_is_kept_by_the_spline():
    # Cubic B-splines reproduce linear functions.
    y, x = np.mgrid[0:8, 0:9].astype(np.float32)
    rows, columns = np.linspace(2, 5, 7), np.linspace(2, 6, 5)
    got = at_positions(2 * y - 3 * x + 1, rows, columns)
    np.testing.assert_allclose(got, 2 * rows[:, None] - 3 * columns[None, :] + 1, atol=1e-4)


def test_positions_outside_are_clamped():
    coarse = np.ones((5, 5), np.float32)
    assert at_positions(coarse, np.array([-9.0, 20.0]), np.array([0.0])) == pytest.approx(1)


def test_noise_has_unit_variance_and_its_scale(rng):
    fields = [smooth_noise(rng, (120, 120), 12) for _ in range(20)]
    assert np.mean([f.var() + f.mean() ** 2 for f in fields]) == pytest.approx(1, abs=0.1)
    assert np.abs(np.diff(fields[0], axis=0)).max() < 0.6  # knots are 10 px apart


def test_a_step_is_half_at_its_place():
    step = soft_step(np.array([-40.0, -4.0, 0.0, 4.0, 40.0]), 2.0)
    assert step[2] == 0.5
    assert step[0] < 1e-6 < 1 - 1e-6 < step[4]
    assert step[3] == pytest.approx(1 / (1 + np.exp(-2)))


def test_tube_coordinates_of_a_straight_course_by_hand():
    seen = near(np.array([[10.0, 20.0], [10.0, 60.0]]), 5.0, (40, 80))
    picture = {int(f): i for i, f in enumerate(seen.flat)}
    at = picture[12 * 80 + 30]  # two rows below the course, 10 px along
    assert seen.along[at] == pytest.approx(10, abs=1e-3)
    assert seen.across[at] == pytest.approx(2, abs=1e-3)  # heading right, below is to the right
    assert seen.beyond[at] == 0
    ahead = picture[10 * 80 + 63]
    assert seen.beyond[ahead] == pytest.approx(3, abs=1e-3)
    assert 16 * 80 + 30 not in picture  # six px away


def test_what_is_outside_of_the_picture_has_no_pixels():
    assert len(near(np.array([[-90.0, 0.0], [-80.0, 10.0]]), 5.0, (40, 80)).flat) == 0


def test_a_ball_has_its_chords():
    out = np.zeros((21, 21), np.float32)
    thick_balls(np.array([[10.0, 10.0]]), np.array([5.0]), out)
    assert out[10, [10, 13, 14, 15]].tolist() == pytest.approx([10, 8, 6, 0])  # Pythagoras


def test_balls_along_a_course_make_a_tube():
    out = np.zeros((30, 60), np.float32)
    thick_balls(*spaced(np.array([[15.0, 5.0], [15.0, 55.0]]), np.array([6.0, 6.0])), out)
    assert out[15, 10:50] == pytest.approx(12, abs=0.15)
    assert ((out > 0).sum(axis=0)[10:50] == 11).all()
