"""R30 on fingerprints: what decides the number of folds, what is kept together, and what is said about it."""

from __future__ import annotations

from typing import Any

import pytest

from ercpseg.documents.plan import Plan
from ercpseg.errors import UsageError
from ercpseg.planner.budget import Budget
from ercpseg.planner.plan import make_plan
from ercpseg.planner.recipes import load_recipe
from tests.golden.planner.generate import fingerprint, martin_like


def plan_for(overrides: dict[str, Any] | None = None, **facts: Any) -> Plan:
    return make_plan(
        fingerprint(martin_like().structures, **facts), load_recipe("auto"), Budget("cuda", 8.0), None, overrides
    )


def folds_of(plan: Plan) -> tuple[int, str, str]:
    values = plan.values.folds
    return values.count, values.method, values.grouped_by


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        # Two of 26 patients are one by their looks: 25 groups, as many as five folds want.
        ({"patients": 26, "groups": 25, "near_duplicates": 1}, (5, "grouped", "patient")),
        ({"patients": 25, "groups": 24, "near_duplicates": 1}, (10, "grouped", "patient")),
        ({"patients": 40, "groups": 2, "near_duplicates": 38}, (2, "grouped", "patient")),
        (
            {"patients": 1, "groups": 1, "inner_groups": 8, "inner_grouped_by": "series"},
            (5, "within-patient", "series"),
        ),
        ({"patients": 1, "groups": 1, "inner_groups": 3, "inner_grouped_by": "study"}, (3, "within-patient", "study")),
        ({"patients": 1, "groups": 1, "inner_groups": 90}, (5, "frame-wise", "frame")),
        ({"patients": 0, "studies": 8, "groups": 8, "grouped_by": "study"}, (8, "grouped", "study")),
        ({"patients": 0, "series": 60, "groups": 60, "grouped_by": "series"}, (5, "grouped", "series")),
        (
            {"patients": 100, "groups": 12, "near_duplicates": 88, "grouped_by": "near-duplicates"},
            (10, "grouped", "near-duplicates"),
        ),
        ({"patients": 0, "groups": 100, "grouped_by": "frame"}, (5, "frame-wise", "frame")),
        ({"patients": 40, "groups": 40, "parts": {"train": 80, "val": 20}}, (1, "published", "patient")),
        ({"patients": 1, "groups": 1, "parts": {"train": 80, "val": 20}}, (1, "published", "patient")),
        ({"patients": 40, "groups": 40, "parts": {"train": 100}}, (5, "grouped", "patient")),
    ],
)
def test_what_is_kept_together_and_in_how_many_folds(facts: dict[str, Any], expected: tuple[int, str, str]) -> None:
    plan = plan_for(**facts)
    assert folds_of(plan) == expected
    assert any("TOO GOOD" in warning for warning in plan.warnings) == (expected[1] in ("frame-wise", "within-patient"))


def test_one_name_for_all_patients_is_suspected_where_there_are_studies() -> None:
    (warning,) = (w for w in plan_for(patients=1, groups=1, studies=12).warnings if "TOO GOOD" in w)
    assert "12 studies are told apart" in warning
    (warning,) = (w for w in plan_for(patients=1, groups=1, studies=1).warnings if "TOO GOOD" in w)
    assert "studies" not in warning


def test_a_person_may_decide_otherwise() -> None:
    published = {"patients": 8, "groups": 8, "parts": {"train": 80, "val": 20}}
    assert folds_of(plan_for({"folds.method": "grouped"}, **published)) == (8, "grouped", "patient")
    assert folds_of(plan_for({"folds.method": "frame-wise"}, patients=8, groups=8)) == (5, "frame-wise", "frame")
    assert folds_of(plan_for({"folds.count": 3}, patients=8, groups=8)) == (3, "grouped", "patient")
    with pytest.raises(UsageError, match=r"cannot be folds\.method"):
        plan_for({"folds.method": "random"})


def test_the_reason_holds_the_numbers() -> None:
    decision = plan_for(patients=26, studies=30, series=90, groups=24, near_duplicates=2).decision("folds.count")
    assert decision.rule == "R30"
    assert decision.because == "24 groups by patient (fewer than 25)."
    assert decision.inputs == {
        "groups": 24,
        "inner_groups": 0,
        "patients": 26,
        "studies": 30,
        "series": 90,
        "near_duplicates": 2,
        "frames": 100,
        "validation_frames": 0,
        "grouped_by": "patient",
    }


def test_by_series_is_for_those_who_ask_and_says_what_it_is() -> None:
    plan = plan_for({"folds.method": "by-series"}, patients=3, groups=3, series=6)
    assert folds_of(plan) == (6, "by-series", "series")
    assert any("FOLDS ARE MADE OF 6 SERIES" in warning for warning in plan.warnings)
    assert folds_of(plan_for({"folds.method": "by-series", "folds.count": 2}, patients=3, groups=3, series=6))[0] == 2
    assert folds_of(plan_for({"folds.method": "by-series"}, patients=40, groups=40, series=80))[0] == 10


@pytest.mark.parametrize(("series", "said"), [(0, "none is known"), (1, "one is known")])
def test_by_series_without_series_is_refused(series: int, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        plan_for({"folds.method": "by-series"}, patients=3, groups=3, series=series)
    assert (caught.value.where, caught.value.todo) == (
        "folds.method",
        "say in a descriptor what tells series apart: grouping.series",
    )
