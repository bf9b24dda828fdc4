"""How winding structures are, where they have gaps, and where they lie: drawn shapes with answers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ercpseg.fingerprint.paths import longest_paths, smooth, tortuosity
from ercpseg.fingerprint.structure import StructureMeasures, measure_structure
from ercpseg.geometry.components import label_components
from ercpseg.structures import Mask

Y, X = np.mgrid[:400, :400]
WHOLE = np.ones(Y.shape, bool)


def measure(mask: Mask) -> StructureMeasures:
    return measure_structure(mask, np.zeros(mask.shape, np.uint8), np.ones(mask.shape, bool))


def arc(radius: float, width: float, degrees: float) -> Mask:
    """A band around a circle, from the right on downwards."""
    angle = np.degrees(np.arctan2(Y - 200, X - 200)) % 360
    return (np.abs(np.hypot(Y - 200, X - 200) - radius) <= width / 2) & (angle <= degrees)


def bar(angle: float, length: float, width: float) -> Mask:
    """A bar through the middle."""
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    along, across = (X - 200) * cos + (Y - 200) * sin, (Y - 200) * cos - (X - 200) * sin
    return (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2)


@pytest.mark.parametrize("angle", [0, 22.5, 45, 70, 90])
@pytest.mark.parametrize("width", [3, 9, 25])
def test_a_straight_bar_does_not_wind_at_any_angle(angle: float, width: int) -> None:
    # The skeleton of a wide bar may end in a corner, half a width aside.
    assert measure(bar(angle, 300, width)).tortuosity == pytest.approx(1, abs=0.02 if width < 10 else 0.04)


@pytest.mark.parametrize(("degrees", "width"), [(180, 3), (180, 15), (90, 5), (120, 30)])
def test_an_arc_is_as_long_as_its_angle_and_as_far_as_its_chord(degrees: float, width: int) -> None:
    def expected(angle: float) -> float:
        return angle / (2 * np.sin(angle / 2))  # r·φ over 2·r·sin(φ/2); half a circle: π/2

    # The skeleton ends up to half a width early on either side.
    shortest = expected(np.deg2rad(degrees) - width / 150)
    found = measure(arc(150, width, degrees)).tortuosity
    assert found is not None
    assert 0.97 * shortest <= found <= 1.03 * expected(np.deg2rad(degrees))


def test_a_closed_ring_is_followed_halfway() -> None:
    assert measure(arc(150, 5, 360)).tortuosity == pytest.approx(np.pi / 2, rel=0.05)


def test_the_largest_piece_is_followed_and_spurs_are_not() -> None:
    comb = bar(0, 300, 3) | ((np.abs(X - 200) <= 1) & (Y >= 200) & (Y <= 230))
    measures = measure(comb | ((Y < 40) & (X < 3)))
    assert measures.tortuosity == pytest.approx(1, abs=0.02)
    assert measures.length_px == pytest.approx(298 + 29 + 38, abs=8)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_dot_has_no_course(size: int) -> None:
    measures = measure((size > Y) & (size > X))
    assert (measures.tortuosity, measures.gaps_px) == (None, ())


def test_path_points_follow_one_another() -> None:
    mask = arc(150, 3, 270)
    labels, _ = label_components(mask)
    from ercpseg.geometry.skeleton import skeletonise

    (path,) = longest_paths(skeletonise(mask), labels)
    assert np.abs(np.diff(path.points, axis=0)).max() == 1
    assert len({tuple(point) for point in path.points.tolist()}) == len(path.points)
    line = smooth(path.points)
    assert np.array_equal(line[[0, -1]], path.ends)
    assert np.abs(np.hypot(*(line - 200).T) - 150).max() < 1.5
    assert tortuosity(path) == pytest.approx((1.5 * np.pi) / np.sqrt(2), rel=0.03)


# -- gaps --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 3, 6, 14])
@pytest.mark.parametrize("gap", [4, 30])
def test_the_gap_between_two_pieces_is_the_background_between_them(width: int, gap: int) -> None:
    line = (Y >= 100) & (100 + width > Y) & (X >= 20) & (X < 320)
    measures = measure(line & ~((X >= 150) & (150 + gap > X)))
    step = 2 if width == 14 else 1  # wide structures are looked at on every second pixel
    assert measures.gaps_px == pytest.approx([gap], abs=step)
    assert measures.components == 2


def test_pieces_are_joined_end_to_end_in_their_order() -> None:
    line = (np.abs(Y - 200) <= 1) & (X >= 20) & (X < 380)
    gaps = ((X >= 100) & (X < 110)) | ((X >= 200) & (X < 240)) | ((X >= 300) & (X < 305))
    assert sorted(measure(line & ~gaps).gaps_px) == [5, 10, 40]


def test_specks_and_what_is_not_tubular_have_no_gaps() -> None:
    line = (np.abs(Y - 200) <= 1) & (X >= 20) & (X < 380)
    assert measure(line | ((Y == 100) & (X == 100))).gaps_px == ()
    discs = (np.hypot(Y - 100, X - 100) < 30) | (np.hypot(Y - 300, X - 300) < 30)
    assert measure(discs).gaps_px == ()


# -- place -------------------------------------------------------------------------------------------------------------


def test_the_place_is_told_in_shares_of_the_frame() -> None:
    mask = np.zeros((64, 128), bool)
    mask[32:64, 0:32] = True  # the lower left quarter of the left half
    place = measure(mask).place
    assert place.centre_yx == (0.75, 0.125)
    assert place.cells.shape == (32, 32)
    expected = np.zeros((32, 32))
    expected[16:, :8] = 255
    assert np.array_equal(place.cells, expected)


def test_a_frame_smaller_than_the_atlas_has_its_place_too() -> None:
    mask = np.zeros((3, 5), bool)
    mask[1, 2] = True
    place = measure(mask).place
    assert place.centre_yx == (0.5, 0.5)
    assert place.cells.max() == 255
    assert np.count_nonzero(place.cells) == 1
