"""What tuning may try, with the numbers of the rules worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.documents.plan import Plan
from ercpseg.documents.recipe import Recipe
from ercpseg.planner.budget import Budget
from ercpseg.planner.candidates import GRID, candidates, candidates_sha256
from ercpseg.planner.plan import make_plan
from ercpseg.planner.recipes import load_recipe
from ercpseg.postprocess.apply import check_steps
from ercpseg.postprocess.choose import Candidates
from tests.golden.planner.generate import ercp_like, fingerprint, martin_like, spread, structure

CPU = Budget("cpu", 8.0, threads=2)


def plan_for(data: Fingerprint, recipe: Recipe | None = None, **pins: Any) -> Plan:
    overrides = {key.replace("__", "."): value for key, value in pins.items()}
    return make_plan(data, recipe or load_recipe("auto"), CPU, None, overrides)


def names(found: Candidates, slot: str) -> list[list[str]]:
    """The steps of every option of a slot, by name."""
    (wanted,) = [s for s in found.slots if s.name == slot]
    return [[step.name for step in option.steps] for option in wanted.options]


def params(found: Candidates, slot: str, step: str, number: str) -> list[float]:
    """A number of a step over the options of a slot that have it."""
    (wanted,) = [s for s in found.slots if s.name == slot]
    return [s.params.get(number, 0.0) for option in wanted.options for s in option.steps if s.name == step]


def test_the_worked_example() -> None:
    # 1024² at half size: the scope is 25 px wide, its kernels 5 and 35, halves of them 3 and 17 (0.1 · 25 = 2.5 and
    # 0.7 · 25 = 17.5); the longest gap is the least of 0.12 · 512 = 61.44 and 3 · 25 = 75.
    data = martin_like()
    plan = plan_for(data, preparation__working_long_side_px=512)
    found = candidates(plan, data)
    scope, wire = found["endoscope"], found["guidewire"]
    assert (scope.metric, wire.metric) == ("dice", "cldice")
    assert scope.thresholds == GRID
    assert GRID[0] == 0.05
    assert GRID[-1] == 0.95
    assert len(GRID) == 19
    assert set(params(scope, "shape", "open_close", "opening_px")) == {0, 3, 5}
    assert set(params(scope, "shape", "open_close", "closing_px")) == {0, 17, 35}
    assert len([o for o in names(scope, "shape") if "open_close" in o]) == 8  # 3 · 3 without neither
    assert params(wire, "join", "complete_wire", "max_gap_px") == [30.7, 61.4]
    assert params(wire, "grow", "hysteresis", "low_frac") == [0.3]
    # Length: 5th percentile 280 of 560 px, halved 140; ¼, ½ and all of it, and what is planned, 34 = 10 · 3.4 < 35.
    assert params(wire, "drop", "remove_short", "min_length_px") == [34, 35, 70, 140]
    # Area: 15000 / 4 = 3750; ¼ of it is more than a square of the width, 625, which is planned.
    assert params(scope, "drop", "remove_small", "min_area_px") == [625, 937.5, 1875, 3750]


def gap(data: Fingerprint) -> float:
    return plan_for(data, preparation__working_long_side_px=512).values.tuning.longest_gap_px["guidewire"]


def test_training_gaps_shorten_the_longest_gap() -> None:
    data = martin_like()
    wire = data.structures["guidewire"].model_copy(update={"gap99_px": 40.0})
    data = data.model_copy(update={"structures": {**data.structures, "guidewire": wire}})
    assert gap(data) == 20  # half of 40
    assert gap(martin_like()) == 61.4  # 0.12 · 512; three endoscopes would be 75
    assert gap(fingerprint({"guidewire": martin_like().structures["guidewire"]})) == 61.4


def test_keeping_the_largest_is_a_candidate_for_all_and_the_default_of_no_wire_and_no_stone() -> None:
    data = ercp_like()
    plan = plan_for(data)
    found = candidates(plan, data)
    assert set(found) == {"endoscope", "guidewire", "cbd", "stone"}
    for name, tried in found.items():
        assert ["keep_largest"] in names(tried, "drop"), name
        assert all(step.name != "keep_largest" for step in tried.default.steps), name
        assert tried.default.steps == plan.values.postprocess.steps[name]
        assert tried.default.threshold == 0.5


@pytest.mark.parametrize("pieces", [1.0, 1.2, 3.0])
@pytest.mark.parametrize("width", [2.0, 6.0, 14.0])
def test_no_plan_keeps_only_the_largest_wire_or_stone(pieces: float, width: float) -> None:
    wire = structure(0.004, spread(width), 90 * width, 40 * width**2, components=pieces)
    stone = structure(0.003, spread(3 * width), 4 * width, 9 * width**2, components=pieces, q=0.4)
    data = fingerprint({"guidewire": wire, "stone": stone})
    steps = plan_for(data).values.postprocess.steps
    assert {step.name for chain in steps.values() for step in chain} & {"keep_largest", "keep_relative"} == set()


def test_stones_are_nested_where_training_stones_are() -> None:
    data = ercp_like()
    for overlap, offered in ((0.95, True), (0.94, False)):
        inside = data.overlap | {"stone": {**data.overlap["stone"], "cbd": overlap}}
        changed = data.model_copy(update={"overlap": inside})
        found = candidates(plan_for(changed, preparation__working_long_side_px=512), changed)["stone"]
        assert (["keep_inside"] in names(found, "place")) == offered
        assert params(found, "place", "keep_inside", "margin_px") == ([5.8] if offered else [])  # 0.25 · 23
        assert found.looks == offered
        assert found.metric == "object_f1"


def test_every_candidate_can_be_run_and_none_is_there_twice() -> None:
    data = ercp_like()
    for name, found in candidates(plan_for(data), data).items():
        for slot in found.slots:
            chains = [option.steps for option in slot.options]
            assert len(chains) == len([c for i, c in enumerate(chains) if c not in chains[:i]])
            for chain in chains:
                check_steps({name: chain})


def test_what_a_person_pinned_is_not_tuned() -> None:
    data = ercp_like()
    found = candidates(plan_for(data, postprocess__threshold__stone=0.3), data)
    assert found["stone"].thresholds == ()
    assert found["stone"].threshold == 0.3
    assert found["stone"].fixed == ("its threshold was set by the user",)
    assert found["guidewire"].thresholds == GRID
    chain = [{"name": "keep_largest", "params": {}}]
    recipe = Recipe.new(name="r", title="R", set={"postprocess.steps.guidewire": chain})
    found = candidates(plan_for(data, recipe), data)
    assert [slot.name for slot in found["guidewire"].slots] == ["pinned"]
    assert found["guidewire"].fixed == ("its steps were set by the recipe",)
    assert [step.name for step in found["guidewire"].default.steps] == ["keep_largest"]
    assert found["guidewire"].thresholds == GRID
    assert len(found["stone"].slots) > 1
    # Who pins all of them to what the rule says anyway wants them to stay.
    whole = dict.fromkeys(data.structures, 0.5)
    assert all(c.thresholds == () for c in candidates(plan_for(data, postprocess__threshold=whole), data).values())


def test_a_structure_that_is_never_shown_has_no_steps_to_try() -> None:
    never = structure(0.001, spread(5.0), 50.0, 100.0).model_copy(
        update={"frames": 0, "presence_frac": 0.0, "width_px": None, "foreground_frac": None}
    )
    data = fingerprint({"endoscope": martin_like().structures["endoscope"], "stone": never})
    assert candidates(plan_for(data), data)["stone"].slots == ()


def test_the_hash_sees_what_is_tried() -> None:
    data = ercp_like()
    first = candidates(plan_for(data), data)
    again = candidates(plan_for(data), data)
    pinned = candidates(plan_for(data, postprocess__threshold__stone=0.3), data)
    assert {n: candidates_sha256(c) for n, c in first.items()} == {n: candidates_sha256(c) for n, c in again.items()}
    changed = [n for n in first if candidates_sha256(first[n]) != candidates_sha256(pinned[n])]
    assert changed == ["stone"]


def test_steps_look_at_no_structure_that_the_plan_leaves_out() -> None:
    whole, part = (
        make_plan(ercp_like(), load_recipe("auto"), Budget("cuda", 8.0), overrides=pins)
        for pins in ({}, {"heads.structures": ["guidewire", "stone"]})
    )
    looked_at = []
    for plan in (whole, part):
        slots = [slot for found in candidates(plan, ercp_like()).values() for slot in found.slots]
        looked_at.append({step.of for slot in slots for option in slot.options for step in option.steps})
    assert looked_at[0] >= {"endoscope", "cbd"}
    assert looked_at[1] == {None}
