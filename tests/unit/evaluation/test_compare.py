"""Paired differences by hand, and what holds for every pair of systems."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ercpseg.documents.scores import METRICS, FrameScore
from ercpseg.evaluation.compare import OBJECTS_F1, paired_difference, patient_draws, sums


def score(patient: str, dice: float | None, objects: tuple[int, int, int] = (1, 1, 1), frame: str = "") -> FrameScore:
    reference, prediction, matched = objects
    return FrameScore(
        frame=frame or f"{patient}_{dice}_{objects}",
        patient=patient,
        structure="stone",
        reference_px=1,
        prediction_px=1,
        intersection_px=1,
        reference_objects=reference,
        prediction_objects=prediction,
        matched_objects=matched,
        **dict.fromkeys(METRICS, dice),
    )


def test_a_mean_is_over_patients_not_frames() -> None:
    """Patient a: (0.2 + 0.4 + 0.6) / 3 = 0.4; patient b: 0.8; c has no value. Mean 0.6, by frames it would be 0.5."""
    found = sums([score("a", 0.2), score("a", 0.4), score("a", 0.6), score("b", 0.8), score("c", None)], "abc", "dice")
    assert found.value == pytest.approx(0.6)
    assert (found.frames, found.patients) == (4, 2)


def test_objects_are_pooled() -> None:
    """2·(1 + 0) / ((2 + 1) + (1 + 3)) = 2/7."""
    found = sums([score("a", None, (2, 1, 1)), score("b", None, (1, 3, 0))], "ab", OBJECTS_F1)
    assert found.value == pytest.approx(2 / 7)
    nothing = sums([score("a", None, (0, 0, 0))], "a", OBJECTS_F1)
    assert (nothing.value, nothing.patients) == (None, 0)


def test_several_trainings_count_as_their_mean() -> None:
    twice = [score("a", 0.2, frame="f"), score("a", 0.6, frame="f"), score("b", 0.5)]
    found = sums(twice, "ab", "dice")
    assert found.value == pytest.approx((0.4 + 0.5) / 2)
    assert found.frames == 2


def test_a_constant_difference_has_an_interval_of_no_width() -> None:
    """Patients differ by 0.5, the systems by 0.1 in each: pairing takes the patients out."""
    a = {"x": sums([score("a", 0.2), score("b", 0.7)], "ab", "dice")}
    b = {"x": sums([score("a", 0.3), score("b", 0.8)], "ab", "dice")}
    found = paired_difference(a, b, patient_draws(2))
    assert (found.value, found.difference) == (pytest.approx(0.55), pytest.approx(0.1))
    assert found.low == pytest.approx(0.1)
    assert found.high == pytest.approx(0.1)
    assert found.better
    assert not paired_difference(b, a, patient_draws(2)).better


def test_an_interval_that_holds_zero_is_not_better() -> None:
    a = {"x": sums([score(p, 0.5) for p in "abcd"], "abcd", "dice")}
    b = {"x": sums([score(p, v) for p, v in zip("abcd", (0.9, 0.4, 0.4, 0.6), strict=True)], "abcd", "dice")}
    found = paired_difference(a, b, patient_draws(4))
    assert found.difference == pytest.approx(0.075)
    assert found.low is not None and found.low < 0 < found.high
    assert not found.better


def test_one_patient_has_no_interval_and_nothing_has_no_difference() -> None:
    one = {"x": sums([score("a", 0.5)], "a", "dice")}
    assert paired_difference(one, one, patient_draws(1)).low is None
    none = {"x": sums([score("a", None), score("b", None)], "ab", "dice")}
    found = paired_difference(none, none, patient_draws(2))
    assert (found.value, found.difference, found.low, found.better) == (None, None, None, False)


def test_over_several_structures_it_is_the_mean_of_those_that_both_have() -> None:
    def side(x: float, y: float | None, z: float) -> dict:
        values = {"x": x, "y": y, "z": z}
        return {n: sums([score("a", v), score("b", v)], "ab", "dice") for n, v in values.items()}

    found = paired_difference(side(0.5, None, 0.1), side(0.7, 0.9, 0.2), patient_draws(2))
    assert found.value == pytest.approx(0.45)
    assert found.difference == pytest.approx(0.15)
    assert found.low == pytest.approx(0.15)


def test_a_draw_without_the_structure_says_nothing() -> None:
    """Only one of three patients shows it: draws without that patient are left out, none becomes 0."""
    a = {"x": sums([score("a", 0.5), score("b", None), score("c", None)], "abc", "dice")}
    b = {"x": sums([score("a", 0.8), score("b", None), score("c", None)], "abc", "dice")}
    assert paired_difference(a, b, patient_draws(3)).low is None
    draws = patient_draws(3)
    assert draws is not None
    values = a["x"].drawn(draws)
    assert set(values[np.isfinite(values)]) == {0.5}
    assert np.isnan(values).any()


values = st.lists(st.floats(0, 1), min_size=2, max_size=6)


@given(values, st.data())
@settings(max_examples=40, deadline=None)
def test_the_other_way_round_everything_changes_its_sign(first: list[float], data: st.DataObject) -> None:
    second = data.draw(st.lists(st.floats(0, 1), min_size=len(first), max_size=len(first)))
    patients = [f"p{i}" for i in range(len(first))]
    a, b = (
        {"x": sums([score(p, v) for p, v in zip(patients, side, strict=True)], patients, "dice")}
        for side in (first, second)
    )
    draws = patient_draws(len(first))
    forth, back = paired_difference(a, b, draws), paired_difference(b, a, draws)
    assert forth.difference == pytest.approx(-back.difference)
    assert forth.low == pytest.approx(-back.high)
    assert forth.low <= forth.high
    assert min(np.subtract(second, first)) - 1e-9 <= forth.difference <= max(np.subtract(second, first)) + 1e-9
