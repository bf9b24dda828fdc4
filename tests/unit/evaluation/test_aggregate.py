"""From frames to patients to the set."""

from __future__ import annotations

import numpy as np
import pytest

from ercpseg.documents.scores import METRICS, FrameScore
from ercpseg.evaluation.aggregate import (
    is_several_objects,
    mean_of_patients,
    per_patient,
    score_objects,
    score_structure,
)


def frame(patient: str, dice: float | None, *, structure: str = "cbd", **values: int) -> FrameScore:
    metrics = dict.fromkeys(METRICS, dice)
    counts = {
        "reference_px": 10,
        "prediction_px": 10,
        "intersection_px": 5,
        "reference_objects": 1,
        "prediction_objects": 1,
        "matched_objects": 1,
    }
    return FrameScore(frame=f"{patient}_0", patient=patient, structure=structure, **metrics, **(counts | values))


def test_patients_weigh_the_same_however_many_frames_they_have() -> None:
    # a: mean of 1, 1, 1, 0.6 = 0.9; b: 0.5; mean 0.7. The mean over frames would be 0.82.
    result = mean_of_patients(["a", "a", "a", "a", "b"], [1.0, 1.0, 1.0, 0.6, 0.5])
    assert result.mean == pytest.approx(0.7)
    assert (result.frames, result.patients) == (5, 2)
    # Two patients: a redraw gives a mean of 0.5, 0.7 or 0.9, so the interval is the two values themselves.
    assert (result.low, result.high) == (pytest.approx(0.5), pytest.approx(0.9))


def test_none_takes_no_part() -> None:
    result = mean_of_patients(["a", "a", "b", "c"], [0.2, None, None, 0.4])
    assert result.mean == pytest.approx(0.3)
    assert (result.frames, result.patients) == (2, 2)
    nothing = mean_of_patients(["a", "b"], [None, None])
    assert (nothing.mean, nothing.low, nothing.high, nothing.frames, nothing.patients) == (None, None, None, 0, 0)


def test_one_patient_has_no_interval() -> None:
    result = mean_of_patients(["a", "a"], [0.0, 1.0])
    assert (result.mean, result.low, result.high) == (0.5, None, None)


def test_the_interval_is_that_of_the_normal_theory_for_many_patients() -> None:
    # 100 patients with standard deviation s: the 95 % interval of the mean is ± 1.96·s/√100.
    values = np.random.default_rng(5).normal(0.8, 0.1, 100)
    result = mean_of_patients([f"p{i}" for i in range(100)], values.tolist(), seed=1)
    half = 1.96 * values.std() / 10
    assert result.low == pytest.approx(values.mean() - half, abs=0.003)
    assert result.high == pytest.approx(values.mean() + half, abs=0.003)


def test_whole_patients_are_redrawn_not_frames() -> None:
    # Twenty frames of each of four patients, equal within a patient: the interval must be that of four values.
    patients = [p for p in "abcd" for _ in range(20)]
    values = [v for v in (0.1, 0.4, 0.6, 0.9) for _ in range(20)]
    clustered = mean_of_patients(patients, values)
    assert clustered.high - clustered.low > 0.4
    four = mean_of_patients(list("abcd"), [0.1, 0.4, 0.6, 0.9])
    assert [clustered.low, clustered.mean, clustered.high] == pytest.approx([four.low, four.mean, four.high])


def test_the_seed_decides_and_the_order_does_not() -> None:
    patients, values = [f"p{i}" for i in range(9)], list(np.linspace(0.1, 0.9, 9) ** 2)
    assert mean_of_patients(patients, values) == mean_of_patients(patients[::-1], values[::-1])
    assert mean_of_patients(patients, values) != mean_of_patients(patients, values, seed=1)


def test_counts_and_pooled_scores() -> None:
    frames = [
        frame("a", 0.5),  # 5 of 10 and 10
        frame("a", 0.0, prediction_px=0, intersection_px=0, prediction_objects=0, matched_objects=0),  # missed
        frame("b", None, reference_px=0, intersection_px=0, reference_objects=0, matched_objects=0),  # invented
        frame(
            "c",
            None,
            reference_px=0,
            prediction_px=0,
            intersection_px=0,
            reference_objects=0,
            prediction_objects=0,
            matched_objects=0,
        ),  # rightly absent
    ]
    s = score_structure(frames)
    assert (s.frames, s.present, s.predicted, s.missed, s.invented, s.invented_px) == (4, 2, 2, 1, 1, 10)
    assert s.specificity == 0.5
    assert s.pooled_dice == 2 * 5 / (20 + 20)
    assert s.pooled_iou == 5 / 35
    assert s.metrics["dice"].mean == 0.25  # patient a only
    assert (s.metrics["dice"].frames, s.metrics["dice"].patients) == (2, 1)
    assert s.dice_invented_zero.mean == 0.125  # a: 0.25, b: 0
    assert (s.dice_invented_zero.frames, s.dice_invented_zero.patients) == (3, 2)
    assert s.objects is None
    assert set(s.metrics) == set(METRICS)


def test_a_structure_that_is_never_there() -> None:
    empty = dict.fromkeys(("reference_px", "prediction_px", "intersection_px"), 0)
    s = score_structure([frame("a", None, **empty, reference_objects=0, prediction_objects=0, matched_objects=0)])
    assert (s.present, s.specificity, s.pooled_dice, s.metrics["dice"].mean) == (0, 1.0, None, None)


@pytest.mark.parametrize(
    ("structure", "objects", "expected"),
    [
        ("stone", (1, 1), True),
        ("kidney_stone", (1,), True),
        ("cbd", (1, 1, 1), False),
        ("clip", (1, 2, 0), True),  # 1.5 in the two frames that show it
        ("clip", (1, 1, 1, 2), False),  # 1.25
        ("clip", (0,), False),
    ],
)
def test_objects_are_scored_for_stones_and_what_is_several(
    structure: str, objects: tuple[int, ...], expected: bool
) -> None:
    assert is_several_objects([frame("a", 1.0, structure=structure, reference_objects=n) for n in objects]) is expected


def test_objects_are_summed_over_frames() -> None:
    absent = {"reference_px": 0, "intersection_px": 0, "reference_objects": 0, "matched_objects": 0}
    frames = [
        frame("a", 1.0, structure="stone", reference_objects=3, prediction_objects=2, matched_objects=2),
        frame("b", None, structure="stone", prediction_objects=4, **absent),
    ]
    o = score_structure(frames).objects
    assert o is not None
    assert (o.true_positives, o.false_positives, o.false_negatives) == (2, 4, 1)
    assert (o.precision, o.recall) == (2 / 6, 2 / 3)
    assert o.f1 == 2 * 2 / (2 * 2 + 4 + 1)
    assert o.count_error == (1 + 4) / 2
    assert o.false_per_absent_frame == 4
    # Redraws: only b gives 0, only a 4/5, both 4/9.
    assert (o.f1_low, o.f1_high) == (0.0, 0.8)
    assert score_objects(frames[:1]).f1_low is None


def test_per_patient() -> None:
    table = per_patient([frame("b", 0.5), frame("a", 0.2), frame("a", None), frame("a", 0.4), frame("c", None)])
    assert list(table) == ["a", "b", "c"]
    assert table["a"]["cbd"]["dice"] == pytest.approx(0.3)
    assert table["c"]["cbd"]["dice"] is None
