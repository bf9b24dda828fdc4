"""Boundary distances: by hand, against a distance transform, and against two other implementations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from scipy.spatial.distance import directed_hausdorff

from ercpseg.geometry.distances import SurfaceDistances, surface_px


def draw(*rows: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in rows])


def test_boundary_pixels_have_an_unset_4_neighbour() -> None:
    mask = draw(
        "......",
        ".####.",
        ".####.",
        ".####.",
        ".###..",
        "......",
    )
    # Inside is what has all four neighbours: (2,2), (2,3), (3,2); (3,3) too, as its diagonal (4,4) does not count.
    inside = {(2, 2), (2, 3), (3, 2), (3, 3)}
    assert {tuple(p) for p in np.argwhere(mask & ~surface_px(mask)).tolist()} == inside


def test_the_frames_border_is_outside() -> None:
    surface = surface_px(np.ones((4, 5), bool))
    assert not surface[1:3, 1:4].any()
    assert surface.sum() == 20 - 6


def test_distances_by_hand() -> None:
    # Reference: one pixel at (1, 1). Prediction: (1, 1) and (4, 5), which is hypot(3, 4) = 5 away.
    reference, prediction = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    reference[1, 1] = prediction[1, 1] = prediction[4, 5] = True
    distances = SurfaceDistances.compute(reference=reference, prediction=prediction)
    assert distances.reference_to_prediction.tolist() == [0.0]
    assert distances.prediction_to_reference.tolist() == [0.0, 5.0]


def test_equal_to_a_distance_transform_of_the_whole_frame() -> None:
    rng = np.random.default_rng(1)
    for _ in range(40):
        reference, prediction = (rng.random((15, 22)) < rng.uniform(0.03, 0.9) for _ in range(2))
        if not (reference.any() and prediction.any()):
            continue
        got = SurfaceDistances.compute(reference=reference, prediction=prediction)
        r, p = surface_px(reference), surface_px(prediction)
        np.testing.assert_array_equal(got.reference_to_prediction, distance_transform_edt(~p)[r])
        np.testing.assert_array_equal(got.prediction_to_reference, distance_transform_edt(~r)[p])
        assert got.prediction_to_reference.max() == directed_hausdorff(np.argwhere(p), np.argwhere(r))[0]


def test_an_empty_mask_is_an_error() -> None:
    one, none = np.ones((2, 2), bool), np.zeros((2, 2), bool)
    for reference, prediction in ((one, none), (none, one), (none, none)):
        with pytest.raises(ValueError, match="empty"):
            SurfaceDistances.compute(reference=reference, prediction=prediction)


def test_two_shapes_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\) and prediction \(2, 3\)"):
        SurfaceDistances.compute(reference=np.ones((2, 2), bool), prediction=np.ones((2, 3), bool))
