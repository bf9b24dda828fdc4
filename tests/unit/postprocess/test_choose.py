"""The rule of acceptance with numbers worked out by hand, and the order in which candidates are tried."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ercpseg.documents.plan import PostprocessStep
from ercpseg.postprocess.choose import Candidates, Option, Setting, Slot, search, verdict
from ercpseg.postprocess.evidence import Evidence, Tally, cross_fitted, gain, mean_tally, ratio_tally


def tally(values: list[float]) -> Tally:
    return Tally(np.array(values), np.ones(len(values)))


def evidence(
    values: list[float], *, invented: list[int] | None = None, found: int = 100, hd95: float = 5, dice=None
) -> Evidence:
    return Evidence(
        score=tally(values),
        invented=Tally(np.array(invented or [0] * len(values), float), np.full(len(values), 4.0)),
        found=found,
        objects=100,
        frames=len(values),
        hd95_px=tally([hd95] * len(values)),
        dice=tally(dice or [0.8] * len(values)),
    )


OLD = [0.5, 0.6, 0.7, 0.8, 0.9]


def test_the_standard_error_of_a_mean_is_that_of_paired_differences() -> None:
    # Differences 0.1, 0.0, 0.1, 0.0, 0.3: mean 0.1, sd √(0.06 / 4) = 0.122474, standard error sd / √5 = 0.054772.
    found = gain(tally([0.6, 0.6, 0.8, 0.8, 1.2]), tally(OLD))
    assert found is not None
    assert found.difference == pytest.approx(0.1)
    assert found.se == pytest.approx(math.sqrt(0.06 / 4) / math.sqrt(5))
    assert found.patients == 5


def test_the_standard_error_of_pooled_objects() -> None:
    # Two patients. F1 was 2/4 + 0/4: 2/8. Now 4/4 + 0/4: 4/8. The gain is 1/4.
    # Without the first patient: 0/4 − 0/4 = 0; without the second: 4/4 − 2/4 = 1/2. Mean 1/4.
    # √(1/2 · (1/16 + 1/16)) = 1/4.
    old = ratio_tally([0, 0, 1], [2, 0, 0], [2, 2, 4], 2)
    new = ratio_tally([0, 0, 1], [2, 2, 0], [2, 2, 4], 2)
    assert (old.value, new.value) == (0.25, 0.5)
    found = gain(new, old)
    assert found is not None
    assert (found.difference, found.se, found.patients) == (0.25, 0.25, 2)


def test_patients_count_the_same_whatever_their_frames() -> None:
    # Patient 0: (0.2 + 0.4) / 2 = 0.3; patient 1: 0.9; patient 2 has no value.
    found = mean_tally([0, 1, 0, 2], [0.2, 0.9, 0.4, None], 3)
    assert found.value == pytest.approx(0.6)
    assert found.patients == 2
    assert mean_tally([0], [None], 1).value is None


def test_patients_without_the_structure_do_not_change_the_standard_error() -> None:
    with_absent = [Tally(np.array([*v, 0.0]), np.array([1.0] * 5 + [0.0])) for v in ([0.6, 0.6, 0.8, 0.8, 1.2], OLD)]
    found, alone = gain(*with_absent), gain(tally([0.6, 0.6, 0.8, 0.8, 1.2]), tally(OLD))
    assert found is not None
    assert alone is not None
    assert found.se == pytest.approx(alone.se)
    assert found.patients == 5
    # With one patient there is no standard error.
    assert gain(tally([0.5]), tally([0.4])).se is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("candidate", "guard", "why"),
    [
        (evidence([0.6, 0.6, 0.8, 0.8, 1.2]), "none", ""),
        # Differences 0.2, 0, 0, 0, 0: mean 0.04 = standard error 0.04; not above.
        (evidence([0.7, 0.6, 0.7, 0.8, 0.9]), "none", "the gain of 0.040 is not above one standard error, 0.040"),
        (evidence([0.4, 0.6, 0.7, 0.8, 0.9]), "none", "the gain of -0.020 is not above one standard error, 0.020"),
        # One frame of 20 more: the rise 0.05 is one standard error, √(4/5 · …) = 0.05; two patients more are too many.
        (evidence([0.6] * 2 + [0.8] * 2 + [1.2], invented=[1, 0, 0, 0, 0]), "none", ""),
        (
            evidence([0.6] * 2 + [0.8] * 2 + [1.2], invented=[1, 1, 0, 0, 0]),
            "none",
            "it is invented in 10 % more of the frames that do not show it",
        ),
        (evidence([0.6] * 2 + [0.8] * 2 + [1.2], found=99), "removes", ""),
        (evidence([0.6] * 2 + [0.8] * 2 + [1.2], found=98), "removes", "2 of 100 annotated objects would be lost"),
        (evidence([0.6] * 2 + [0.8] * 2 + [1.2], found=98), "none", ""),
        (evidence([0.6] * 2 + [0.8] * 2 + [1.2], hd95=6), "joins", "HD95 rises from 5.0 to 6.0 px"),
        (evidence([0.6] * 2 + [0.8] * 2 + [1.2], hd95=6), "removes", ""),
        # Dice falls by 0.04, 0, 0, 0, 0: mean 0.008 = one standard error; by 0.04 and 0.02: mean 0.012, standard error
        # √(0.00128 / 4) / √5 = 0.008.
        (evidence([0.6] * 2 + [0.8] * 2 + [1.2], dice=[0.76, 0.8, 0.8, 0.8, 0.8]), "none", ""),
        (
            evidence([0.6] * 2 + [0.8] * 2 + [1.2], dice=[0.76, 0.78, 0.8, 0.8, 0.8]),
            "none",
            "its Dice falls by 0.012, more than one standard error, 0.008",
        ),
    ],
)
def test_what_is_accepted(candidate: Evidence, guard, why: str) -> None:
    assert verdict(candidate, evidence(OLD), guard)[2] == why


def test_few_patients_settle_nothing() -> None:
    four = evidence([0.6, 0.6, 0.8, 0.9]), evidence([0.5, 0.5, 0.7, 0.8])
    assert verdict(*four, "none")[2] == "4 patients show it, at least 5 are needed"
    assert verdict(evidence([0.9]), evidence([0.5]), "none")[2] == "fewer than two patients show it"


def test_the_best_of_many_is_worth_less_to_those_left_out() -> None:
    # Each candidate is 1 for one of three patients and 0 for the others; what stands is 0.3 for all. Over all, every
    # candidate means 1/3 > 0.3. Without the patient that it serves, a candidate means 0, and the others 1/2: so each
    # patient gets a candidate that serves another one, and 0.
    standing, candidates = tally([0.3] * 3), [tally(row) for row in np.eye(3).tolist()]
    assert max(c.value or 0 for c in candidates) > 0.3
    assert cross_fitted(candidates, standing).numerators.tolist() == [0, 0, 0]
    # A candidate that serves everybody keeps its gain; among equals what stands stays.
    assert cross_fitted([tally([0.5] * 3)], standing).numerators.tolist() == [0.5] * 3
    assert cross_fitted([standing], standing).numerators.tolist() == [0.3] * 3


DROP = PostprocessStep(name="remove_small", params={"min_area_px": 5})
GROW = PostprocessStep(name="hysteresis")
SLOTS = (
    Slot("drop", (Option("as planned", (DROP,)), Option("none", ())), "removes"),
    Slot("grow", (Option("as planned", ()), Option("hysteresis", (GROW,)))),
)


def search_by(table: dict[tuple[float, int, bool], list[float]], thresholds=(0.4, 0.5, 0.6)):
    """Search where the table says what a threshold, a number of steps and hysteresis are worth; else the old values."""
    asked: list[Setting] = []

    def measure(settings, surface):
        asked.extend(settings)
        return [evidence(table.get((s.threshold, len(s.steps), GROW in s.steps), OLD)) for s in settings]

    return search(Candidates("cldice", 0.5, thresholds, SLOTS), measure), asked


def up(by: float) -> list[float]:
    return [value + by * (1 + 0.01 * i) for i, value in enumerate(OLD)]


def test_the_threshold_comes_first_and_steps_build_on_what_was_accepted() -> None:
    found, asked = search_by({(0.4, 1, False): up(0.05), (0.4, 2, True): up(0.09), (0.4, 0, False): up(-0.1)})
    assert (found.accepted, found.threshold, found.steps) == (True, 0.4, (DROP, GROW))
    assert found.default_value == pytest.approx(0.7)
    assert found.value == pytest.approx(0.7 + 0.09 * 1.02)
    assert found.gain == pytest.approx(0.09 * 1.02)
    assert [t.stage for t in found.trials] == ["threshold", "threshold", "drop", "grow"]
    assert [t.accepted for t in found.trials] == [True, False, False, True]
    assert {s.threshold for s in asked[3:]} == {0.4}  # steps are tried at the accepted threshold only
    assert len(asked) == Candidates("cldice", 0.5, (0.4, 0.5, 0.6), SLOTS).count


def test_the_default_stays_without_evidence_and_says_what_came_closest() -> None:
    noisy = [value + by for value, by in zip(OLD, (0.3, -0.1, -0.1, 0.0, 0.0), strict=True)]  # + 0.02 ± 0.07
    found, _ = search_by({(0.6, 1, False): noisy})
    assert (found.accepted, found.threshold, found.steps) == (False, 0.5, (DROP,))
    assert found.value == found.default_value
    assert found.gain == pytest.approx(0.02)
    assert found.why.startswith("best candidate threshold 0.6: the gain of 0.020 is not above one standard error")


def test_equal_candidates_leave_the_one_nearest_to_the_plan() -> None:
    found, _ = search_by({(t, 1, False): up(0.1) for t in (0.2, 0.4, 0.7)}, thresholds=(0.2, 0.4, 0.5, 0.7))
    assert found.threshold == 0.4


def test_a_choice_of_chance_is_seen() -> None:
    # 0.4 serves the first five of six patients a little and harms none much: one standard error is passed, but chosen
    # without the patient that is scored … the other threshold would be taken for three of them.
    old = [0.5] * 6
    first, second = [0.9, 0.9, 0.9, 0.2, 0.5, 0.5], [0.2, 0.5, 0.5, 0.9, 0.9, 0.9]

    def measure(settings, surface):
        return [evidence({0.4: first, 0.6: second}.get(s.threshold, old)) for s in settings]

    found = search(Candidates("dice", 0.5, (0.4, 0.5, 0.6), ()), measure)
    # Both gain 0.15 with a standard error of 0.129. Without one of its three good patients the first is worth 0.6 and the
    # second 0.74 on average, so each of these gets the worse one: 0.2, 0.5, 0.5, and likewise 0.2, 0.5, 0.5.
    assert not found.accepted
    assert [t.gain for t in found.trials] == pytest.approx([0.15, 0.15])
    assert found.trials[0].cross_gain == pytest.approx(-0.1)
    assert "chosen without the patients that it is measured on, the gain is -0.100" in found.why


def test_a_structure_that_no_frame_shows_is_not_tuned() -> None:
    nothing = Evidence(Tally(np.zeros(6), np.zeros(6)), Tally(np.zeros(6), np.ones(6)), 0, 0, 0)
    found = search(Candidates("dice", 0.5, (0.4, 0.5), SLOTS), lambda settings, _: [nothing for _ in settings])
    assert (found.accepted, found.value, found.trials) == (False, None, ())
    assert found.why == "no frame that was predicted out of fold shows it"


def test_what_a_person_fixed_is_said() -> None:
    fixed = Candidates("dice", 0.33, (), (), ("its threshold was set by the user",))
    found = search(fixed, lambda settings, _: [evidence(OLD) for _ in settings])
    assert (found.threshold, found.why) == (0.33, "nothing was tried (its threshold was set by the user)")
