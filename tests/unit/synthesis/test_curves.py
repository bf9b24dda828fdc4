"""Geometry of tubes against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ercpseg.synthesis.curves import arc_length, chord, course, direction, mean_chord, normals, resample, tube_map


def test_chord_is_the_length_of_a_ray_through_a_circle():
    # Pythagoras: radius 5, at distance 3 half the chord is 4, at distance 4 it is 3.
    assert chord([0, 3, 4, 5, 7], 5).tolist() == [10, 8, 6, 0, 0]
    assert chord(-3.0, 5).item() == 8


def test_chords_add_up_to_the_area_of_the_circle():
    distance = np.linspace(-5, 5, 10_001)
    assert np.trapezoid(chord(distance, 5), distance) == pytest.approx(np.pi * 25, rel=1e-4)


@pytest.mark.parametrize("radius", [0.3, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("place", [0.0, 0.25, 0.5])
def test_the_mean_chord_keeps_the_area_of_a_thin_tube(radius, place):
    assert mean_chord(np.arange(-5, 6) + place, radius).sum() == pytest.approx(np.pi * radius**2, rel=1e-5)


def test_the_mean_chord_of_a_pixel_in_the_middle():
    # ∫ 2·sqrt(1 − x²) dx from −0.5 to 0.5 = sqrt(3)/2 + π/3.
    assert mean_chord(0.0, 1.0).item() == pytest.approx(np.sqrt(3) / 2 + np.pi / 3)


def test_headings_are_clockwise_from_up():
    np.testing.assert_allclose(direction([0, 90, 180, 270]), [[-1, 0], [0, 1], [1, 0], [0, -1]], atol=1e-12)
    np.testing.assert_allclose(course((10, 10), [0, 90], 2), [[10, 10], [8, 10], [8, 12]], atol=1e-12)


def test_normals_point_to_the_right_of_the_course():
    up = np.array([[10.0, 5], [9, 5], [8, 5]])
    np.testing.assert_allclose(normals(up), [[0, 1]] * 3, atol=1e-12)


def test_resampling_keeps_ends_and_length():
    corner = np.array([[0.0, 0], [0, 3], [4, 3]])
    again = resample(corner, 1)
    np.testing.assert_allclose(again[[0, -1]], corner[[0, -1]])
    assert len(again) == 8
    assert arc_length(corner).tolist() == [0, 3, 7]


def test_tube_coordinates_of_a_straight_course():
    # From (10, 5) to (10, 25), to the right, in steps of 5.
    points = np.array([[10.0, x] for x in (5, 10, 15, 20, 25)])
    tube = tube_map(points, 4, (40, 40))
    assert tube is not None
    along, across, near = (np.zeros((40, 40)) for _ in range(3))
    along[tube.window], across[tube.window], near[tube.window] = tube.along, tube.across, tube.near
    assert along[10, 17] == pytest.approx(12)
    assert across[10, 17] == pytest.approx(0)
    assert across[13, 17] == pytest.approx(3)  # below is to the right of a course to the right
    assert across[7, 17] == pytest.approx(-3)
    assert along[10, 3] == pytest.approx(-2)  # before the beginning
    assert along[11, 28] == pytest.approx(23)
    assert near[10, 3]
    assert near[14, 20]
    assert not near[6, 30]


def test_tube_coordinates_agree_with_a_brute_force_search():
    angle = np.linspace(0, 1.4 * np.pi, 60)
    points = np.stack([50 + 30 * np.sin(angle), 55 - 30 * np.cos(angle)], axis=1)
    tube = tube_map(points, 9, (100, 100))
    assert tube is not None
    fine = resample(points, 0.02)
    y, x = np.mgrid[tube.window]
    away = np.stack([np.hypot(y - p[0], x - p[1]) for p in fine[::5]]).min(axis=0)
    inside = (tube.along > 0) & (tube.along < arc_length(points)[-1]) & tube.near
    np.testing.assert_allclose(np.abs(tube.across[inside]), away[inside], atol=0.03)
    assert tube.near[away < 8.9].all()
    assert not tube.near[away > 9.1].any()


def test_a_course_beside_the_picture_gives_nothing():
    assert tube_map(np.array([[-50.0, 5], [-40, 5]]), 10, (30, 30)) is None
