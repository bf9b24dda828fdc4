"""Metrics of two masks: by hand, at the empty table's corners, against other implementations, and as properties."""

from __future__ import annotations

import numpy as np
import pytest
import surface_distance
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import directed_hausdorff

from ercpseg.documents.scores import METRICS
from ercpseg.evaluation.centreline import cldice, topology_precision, topology_sensitivity
from ercpseg.evaluation.frame import score_frame
from ercpseg.evaluation.objects import ObjectCounts
from ercpseg.evaluation.overlap import dice, iou, precision, recall
from ercpseg.evaluation.surface import assd_px, hd95_px, hd_px
from ercpseg.geometry.components import label_components
from ercpseg.geometry.distances import SurfaceDistances, surface_px

# surface-distance 0.1 imports from a namespace that scipy will drop; that is its affair.
theirs_is_old = pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")
pairs = st.tuples(st.integers(2, 20), st.integers(2, 20)).flatmap(
    lambda shape: st.tuples(arrays(np.bool_, shape), arrays(np.bool_, shape))
)


def draw(*rows: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in rows])


def block(top: int, left: int, height: int, width: int, shape: tuple[int, int] = (30, 40)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[top : top + height, left : left + width] = True
    return mask


def score(reference: np.ndarray, prediction: np.ndarray):
    return score_frame(reference=reference, prediction=prediction, frame="p1_a", patient="p1", structure="stone")


# -- overlap ---------------------------------------------------------------------------------------------------------


def test_overlap_by_hand() -> None:
    reference = draw("####", "....")  # 4 pixels
    prediction = draw("..##", "..##")  # 4 pixels, 2 of them shared; precision and recall must not be the same case:
    prediction[1, 1] = prediction[1, 0] = True  # 6 pixels, 2 shared
    assert dice(reference=reference, prediction=prediction) == 2 * 2 / (4 + 6)
    assert iou(reference=reference, prediction=prediction) == 2 / 8
    assert precision(reference=reference, prediction=prediction) == 2 / 6
    assert recall(reference=reference, prediction=prediction) == 2 / 4


@pytest.mark.parametrize("metric", [dice, iou, precision, recall, cldice])
def test_empty_masks(metric) -> None:
    one, none = block(2, 2, 3, 3), np.zeros((30, 40), bool)
    assert metric(reference=none, prediction=none) is None
    assert metric(reference=none, prediction=one) is None
    assert metric(reference=one, prediction=none) == 0
    assert metric(reference=one, prediction=one) == 1


@pytest.mark.parametrize("metric", [dice, iou, precision, recall, cldice, ObjectCounts.compute])
def test_what_is_no_pair_of_masks_is_refused(metric) -> None:
    mask = np.ones((3, 4), bool)
    for wrong in (np.ones((3, 5), bool), np.full((3, 4), 255, np.uint8)):
        with pytest.raises(ValueError, match="expected"):
            metric(reference=mask, prediction=wrong)


# -- surface ---------------------------------------------------------------------------------------------------------


def test_surface_by_hand() -> None:
    # Lines of one pixel: the reference 20 long, the prediction the first 19 of it and one pixel 6 below its last.
    reference, prediction = block(5, 5, 1, 20), block(5, 5, 1, 19)
    prediction[11, 24] = True
    distances = SurfaceDistances.compute(reference=reference, prediction=prediction)
    # reference → prediction: 19 × 0 and 1 (the last pixel to its left neighbour); back: 19 × 0 and 6.
    assert hd_px(distances) == 6
    assert assd_px(distances) == pytest.approx((1 + 6) / 40)
    # 20 sorted values, the 95th percentile at position 0.95·19 = 18.05: 0.05 of the way from 0 to the last one.
    assert hd95_px(distances) == pytest.approx(max(0.05 * 1, 0.05 * 6))


def test_hd95_is_the_larger_of_two_percentiles_not_one_of_all() -> None:
    # 100 reference pixels, 5 of them predicted: the others are 1 … 95 away; all 5 predicted are on the reference.
    shape = (3, 120)
    distances = SurfaceDistances.compute(reference=block(1, 5, 1, 100, shape), prediction=block(1, 5, 1, 5, shape))
    values = np.r_[np.zeros(5), np.arange(1, 96)]
    assert hd95_px(distances) == pytest.approx(np.percentile(values, 95))
    assert hd95_px(distances) > np.percentile(np.r_[values, np.zeros(5)], 95)  # pooled


def test_concentric_disks() -> None:
    # Analytic: circles of radius 40 and 50 around one centre are 10 apart everywhere, up to the pixel grid.
    y, x = np.mgrid[:128, :128] - 64
    small, large = np.hypot(y, x) <= 40, np.hypot(y, x) <= 50
    distances = SurfaceDistances.compute(reference=small, prediction=large)
    for value in (hd_px(distances), hd95_px(distances), assd_px(distances)):
        assert value == pytest.approx(10, abs=0.75)


@theirs_is_old
@pytest.mark.parametrize("seed", range(6))
def test_against_two_other_implementations(seed: int) -> None:
    rng = np.random.default_rng(seed)
    top, left, height, width = rng.integers(3, 12, 4)
    reference = block(top, left, height, width)
    prediction = block(top + rng.integers(0, 4), left + rng.integers(0, 6), height + 2, width + 1)
    ours = SurfaceDistances.compute(reference=reference, prediction=prediction)
    r, p = np.argwhere(surface_px(reference)), np.argwhere(surface_px(prediction))
    assert hd_px(ours) == max(directed_hausdorff(r, p)[0], directed_hausdorff(p, r)[0])
    # surface-distance measures between elements of 2 × 2 pixels along the boundary and weights them by length, so on
    # rectangles values differ by less than a pixel. Its averages are per direction; ours is over both.
    theirs = surface_distance.compute_surface_distances(reference, prediction, (1.0, 1.0))
    assert hd_px(ours) == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 100), abs=0.5)
    assert hd95_px(ours) == pytest.approx(surface_distance.compute_robust_hausdorff(theirs, 95), abs=1)
    forth, back = theirs["surfel_areas_gt"], theirs["surfel_areas_pred"]
    total = np.sum(theirs["distances_gt_to_pred"] * forth) + np.sum(theirs["distances_pred_to_gt"] * back)
    assert assd_px(ours) == pytest.approx(total / (forth.sum() + back.sum()), abs=0.5)


@theirs_is_old
def test_equal_to_surface_distance_where_both_mean_the_same() -> None:
    # A rectangle moved by (0, 7): every element of one boundary has its twin in the other, 7 px away at most.
    reference, prediction = block(8, 5, 12, 10), block(8, 12, 12, 10)
    ours = SurfaceDistances.compute(reference=reference, prediction=prediction)
    theirs = surface_distance.compute_surface_distances(reference, prediction, (1.0, 1.0))
    assert hd_px(ours) == surface_distance.compute_robust_hausdorff(theirs, 100) == 7


# -- centreline ------------------------------------------------------------------------------------------------------


def test_cldice_by_hand() -> None:
    # The reference is a line of 30 pixels, one wide; the prediction has its first 20 and 5 pixels elsewhere.
    reference, prediction = block(5, 5, 1, 30), block(5, 5, 1, 20) | block(20, 5, 1, 5)
    # Thinning leaves one-pixel lines as they are: 20 of 25 predicted skeleton pixels are right, 20 of 30 are found.
    assert topology_precision(reference=reference, prediction=prediction) == 20 / 25
    assert topology_sensitivity(reference=reference, prediction=prediction) == 20 / 30
    expected = 2 * (20 / 25) * (20 / 30) / (20 / 25 + 20 / 30)
    assert cldice(reference=reference, prediction=prediction) == pytest.approx(expected)


def test_cldice_forgives_width_but_not_gaps() -> None:
    reference = block(10, 5, 3, 30)
    wide = block(9, 4, 5, 32)
    gap = reference.copy()
    gap[:, 15:21] = False
    assert cldice(reference=reference, prediction=wide) == pytest.approx(1, abs=0.04)
    assert dice(reference=reference, prediction=wide) == 2 * 90 / (90 + 160)
    # 6 of 30 columns are gone: about 1/5 of the reference's skeleton (of 28) is missed, so clDice ≈ 2·0.79/1.79.
    assert cldice(reference=reference, prediction=gap) == pytest.approx(0.88, abs=0.02)


def test_cldice_without_any_agreement_is_0() -> None:
    assert cldice(reference=block(2, 2, 1, 9), prediction=block(20, 2, 1, 9)) == 0


# -- objects ---------------------------------------------------------------------------------------------------------


def test_objects_by_hand() -> None:
    # Three stones: one found exactly, one found with IoU 1/3 (too little), one missed; one invented.
    reference = block(2, 2, 4, 4) | block(10, 10, 4, 4) | block(20, 30, 2, 2)
    prediction = block(2, 2, 4, 4) | block(10, 12, 4, 4) | block(25, 2, 3, 3)
    counts = ObjectCounts.compute(reference=reference, prediction=prediction)
    assert (counts.true_positives, counts.false_positives, counts.false_negatives) == (1, 2, 2)
    assert counts.f1 == 2 / 6
    assert counts.count_error == 0


def test_an_iou_of_exactly_one_half_counts() -> None:
    reference, prediction = block(2, 2, 4, 4), block(2, 2, 4, 2)
    assert ObjectCounts.compute(reference=reference, prediction=prediction).matched == 1
    prediction[2, 2] = False  # 7 of 16
    assert ObjectCounts.compute(reference=reference, prediction=prediction).matched == 0


def test_an_object_is_matched_once() -> None:
    # The reference is cut in two halves; each has IoU 1/2 with it (8 of 16), but only one can be its partner.
    reference = block(2, 2, 4, 4) | block(12, 2, 4, 4)
    prediction = reference.copy()
    counts = ObjectCounts.compute(reference=reference, prediction=prediction)
    assert counts.matched == 2
    pieces = np.zeros_like(reference)
    pieces[2:4, 2:6] = True  # one half only
    merged = reference.copy()
    merged[6:12, 2:6] = True  # both joined to one object of 14 × 4: IoU with either is 16/56
    assert ObjectCounts.compute(reference=reference, prediction=merged).matched == 0
    assert ObjectCounts.compute(reference=reference, prediction=pieces).matched == 1
    # A low bar makes candidates overlap: both pieces of one object reach 0.1, one pair is left.
    split = block(2, 2, 1, 4) | block(5, 2, 1, 4)
    low = ObjectCounts.compute(reference=block(2, 2, 4, 4), prediction=split, min_iou=0.1)
    assert (low.matched, low.false_positives) == (1, 1)


def test_no_objects() -> None:
    none = np.zeros((5, 5), bool)
    assert ObjectCounts.compute(reference=none, prediction=none) == ObjectCounts(0, 0, 0)
    assert ObjectCounts(0, 0, 0).f1 is None
    assert ObjectCounts.compute(reference=none, prediction=~none) == ObjectCounts(0, 1, 0)
    assert ObjectCounts.compute(reference=~none, prediction=none).f1 == 0


@pytest.mark.parametrize("seed", range(8))
def test_as_many_matches_as_the_hungarian_method(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference = rng.random((40, 40)) < 0.12
    prediction = reference ^ (rng.random((40, 40)) < 0.02)
    a, n = label_components(reference)
    b, m = label_components(prediction)
    overlap = np.array(
        [[np.sum((a == i) & (b == j)) / np.sum((a == i) | (b == j)) for j in range(1, m + 1)] for i in range(1, n + 1)]
    )
    rows, columns = linear_sum_assignment(np.where(overlap >= 0.5, overlap, 0), maximize=True)
    expected = int(np.sum(overlap[rows, columns] >= 0.5))
    counts = ObjectCounts.compute(reference=reference, prediction=prediction)
    assert (counts.reference, counts.prediction, counts.matched) == (n, m, expected)
    assert 0 < expected < n


# -- a frame ---------------------------------------------------------------------------------------------------------


def test_the_table_of_empty_masks() -> None:
    one, none = block(2, 2, 3, 3), np.zeros((30, 40), bool)
    for prediction in (none, one):
        invented = score(none, prediction)
        assert all(getattr(invented, name) is None for name in METRICS)
        assert invented.prediction_px == prediction.sum()
        assert invented.prediction_objects == int(prediction.any())
    missed = score(one, none)
    assert [missed.dice, missed.iou, missed.precision, missed.recall, missed.cldice] == [0] * 5
    assert [missed.hd_px, missed.hd95_px, missed.assd_px] == [50.0] * 3  # the diagonal of 30 × 40, not of a crop
    assert (missed.reference_px, missed.reference_objects, missed.matched_objects) == (9, 1, 0)


def test_a_perfect_prediction() -> None:
    perfect = score(block(2, 2, 3, 9), block(2, 2, 3, 9))
    assert [getattr(perfect, name) for name in METRICS] == [1, 1, 1, 1, 0, 0, 0, 1]


@settings(max_examples=60, deadline=None)
@given(pairs)
def test_properties(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pair
    assume(a.any() and b.any())
    one, other = score(a, b), score(b, a)
    for name in ("dice", "iou", "hd_px", "hd95_px", "assd_px", "cldice"):
        assert getattr(one, name) == pytest.approx(getattr(other, name))  # symmetric
    assert one.precision == other.recall
    assert one.matched_objects == other.matched_objects
    assert one.hd_px >= one.hd95_px >= 0
    assert one.hd_px >= one.assd_px
    assert one.iou == pytest.approx(one.dice / (2 - one.dice))
    assert min(one.precision, one.recall) - 1e-12 <= one.dice <= max(one.precision, one.recall) + 1e-12
    assert (one.hd_px == 0) == bool((surface_px(a) == surface_px(b)).all())


@settings(max_examples=40, deadline=None)
@given(pairs, st.integers(0, 6), st.integers(0, 6))
def test_moving_both_masks_changes_nothing(pair: tuple[np.ndarray, np.ndarray], down: int, right: int) -> None:
    a, b = pair
    assume(a.any() and b.any())
    pad = ((down, 6 - down), (right, 6 - right))
    assert score(np.pad(a, pad), np.pad(b, pad)) == score(a, b)
