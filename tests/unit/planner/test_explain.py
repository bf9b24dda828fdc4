"""What a plan says of itself: alternatives, explanations, and the difference of two plans."""

from __future__ import annotations

import json

import pytest

from ercpseg.documents.plan import Alternative, Decision, Plan
from ercpseg.errors import UsageError
from ercpseg.planner.budget import Budget
from ercpseg.planner.diff import diff_json, diff_plans, same
from ercpseg.planner.explain import decision_row, explanation, find_decisions, to_markdown
from ercpseg.planner.plan import make_plan
from ercpseg.planner.recipes import load_recipe
from tests.golden.planner.generate import ercp_like, steady
from tests.unit.core.plans import plan_of, sections, tiny_plan

CPU = Budget("cpu", 8.0, 300.0, threads=2)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(ercp_like(), load_recipe("auto"), CPU, steady)


def decision(**values) -> Decision:
    given = {"key": "patch.batch_size", "value": 4, "rule": "R9", "by": "rule", "because": "x.", "source": "s [E2/J]"}
    return Decision(**(given | values))


def test_alternatives_are_real_other_values_with_a_reason(plan) -> None:
    told = {d.key: d.alternatives for d in plan.decisions if d.alternatives}
    for key in ("network.name", "patch.size_px", "patch.batch_size", "folds.method", "augmentation.mirror_axes"):
        assert told[key], key
    for key, alternatives in told.items():
        for alternative in alternatives:
            assert alternative.value != plan.decision(key).value
            assert alternative.why.endswith("."), key


def test_batch_sizes_that_time_did_not_allow_are_told_with_their_steps(plan) -> None:
    """300 s, of which 90 %, at the generator's 0.24 s for 8 windows of 256²: 1125 steps, fewer than 2500."""
    tried = {a.value: a.why for a in plan.decision("patch.batch_size").alternatives}
    assert "1125 steps" in tried[8]


def test_working_sizes_that_time_did_not_allow_are_told() -> None:
    """A chest set that wants more than the time allows gives up sizes one by one, largest first."""
    from tests.golden.planner.generate import chest_like

    made = make_plan(chest_like(), load_recipe("auto"), Budget("cpu", 8.0, 20.0, threads=2), steady)
    chosen = made.decision("preparation.working_long_side_px")
    left = [a for a in chosen.alternatives if "fewer than 400" in a.why]
    assert left
    assert all(a.value > chosen.value for a in left)


def test_a_pin_names_what_the_rule_would_have_taken() -> None:
    made = make_plan(ercp_like(), load_recipe("auto"), CPU, steady, {"patch.batch_size": 2})
    first = made.decision("patch.batch_size").alternatives[0]
    assert (first.value, first.why) == (4, "R9 would take it; the user decided.")
    agreed = make_plan(ercp_like(), load_recipe("auto"), CPU, steady, {"patch.batch_size": 4})
    assert 4 not in [a.value for a in agreed.decision("patch.batch_size").alternatives]


def test_the_grade_stands_in_the_source() -> None:
    assert decision().evidence == "E2/J"
    assert decision(source="geometry [E3].").evidence == "E3"
    assert decision(source="the user").evidence == ""


def test_a_plan_of_before_there_were_alternatives_loads_and_keeps_its_hash() -> None:
    old = json.loads(tiny_plan().to_json())
    assert "alternatives" not in old["decisions"][0]  # as older versions wrote it
    loaded = Plan.parse(old)
    assert loaded.decisions[0].alternatives == ()
    assert loaded.sha256 == tiny_plan().sha256
    with_some = plan_of(sections())
    with_some = with_some.model_copy(
        update={"decisions": (decision(alternatives=[Alternative(value=8, why="Too slow.")]),)}
    )
    again = Plan.parse(json.loads(with_some.to_json()))
    assert again.decisions[0].alternatives == (Alternative(value=8, why="Too slow."),)
    assert again.sha256 == with_some.sha256 != loaded.sha256


def test_decisions_are_found_by_key_or_section(plan) -> None:
    assert [d.key for d in find_decisions(plan, "patch.batch_size")] == ["patch.batch_size"]
    assert {d.key.split(".")[0] for d in find_decisions(plan, "loss")} == {"loss"}
    assert find_decisions(plan, None) == plan.decisions
    with pytest.raises(UsageError, match=r"patch\.batch_size"):
        find_decisions(plan, "patch.batchsize")
    with pytest.raises(UsageError, match=r"a section: .*preparation"):
        find_decisions(plan, "zzz")


def test_the_explanation_holds_all_that_is_known(plan) -> None:
    told = json.loads(json.dumps(explanation(plan, plan.decisions), allow_nan=False))
    assert told["plan_sha256"] == plan.sha256
    batch = next(d for d in told["decisions"] if d["key"] == "patch.batch_size")
    assert {"value", "rule", "by", "because", "inputs", "source", "evidence", "alternatives"} <= set(batch)
    assert batch["evidence"] == "E2/J"
    assert all("alternatives" in d for d in told["decisions"])


def test_the_row_and_the_page_tell_what_was_not_taken() -> None:
    row = decision_row(decision(alternatives=[Alternative(value=[512, 512], why="Too slow.")]))
    assert row["not taken"] == "512 × 512 (Too slow)"
    hostile = plan_of(sections()).model_copy(
        update={"decisions": (decision(alternatives=[Alternative(value="a|b<script>", why="No.")]),)}
    )
    assert "a\\|b&lt;script> (No)" in to_markdown(hostile)


# -- diff ------------------------------------------------------------------------------------------------------------


def test_a_plan_does_not_differ_from_itself(plan) -> None:
    diff = diff_plans(plan, plan)
    assert diff.same
    assert (diff.head, diff.decisions, diff.inputs, diff.warnings) == ({}, (), (), ((), ()))


def test_a_diff_tells_decisions_with_both_reasons_and_inputs(plan) -> None:
    other = make_plan(ercp_like(), load_recipe("auto"), Budget("cpu", 8.0, 3000.0, threads=2), steady)
    diff = diff_plans(plan, other)
    changed = {c.key: c for c in diff.decisions}
    batch = changed["patch.batch_size"]
    assert batch.a is not None and batch.b is not None
    assert (batch.a.value, batch.b.value) == (4, 8)
    assert batch.a.because != batch.b.because
    assert "network.name" not in changed
    budget = next(i for i in diff.inputs if i.name == "time_budget_s")
    assert (budget.a, budget.b) == (300.0, 3000.0)
    assert "schedule.epochs" in budget.read_by


def test_a_diff_is_antisymmetric(plan) -> None:
    other = make_plan(ercp_like(), load_recipe("unet"), CPU, steady)
    forth, back = diff_plans(plan, other), diff_plans(other, plan)
    there = {c.key: (c.a, c.b) for c in forth.decisions}
    assert there == {c.key: (c.b, c.a) for c in back.decisions}
    assert forth.head["recipe"] == ("auto", "unet")
    assert {(i.name, repr(i.a), repr(i.b)) for i in forth.inputs} == {
        (i.name, repr(i.b), repr(i.a)) for i in back.inputs
    }


def test_what_only_one_plan_decides_and_warns_of_is_told() -> None:
    whole = plan_of(sections()).model_copy(update={"warnings": ("a", "b")})
    part = whole.model_copy(update={"decisions": whole.decisions[1:], "warnings": ("b", "c")})
    diff = diff_plans(whole, part)
    (gone,) = diff.decisions
    assert (gone.key, gone.b) == (whole.decisions[0].key, None)
    assert diff.warnings == (("a",), ("c",))
    assert diff_json(diff)["decisions"][0]["b"] is None
    assert not diff.same


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ([1, 2], (1.0, 2.0), True),
        ({"x": [1]}, {"x": [1, 2]}, False),
        ({"x": 1}, {"y": 1}, False),
        (True, 1, False),
        (None, 0, False),
        ("1", 1, False),
    ],
)
def test_values_are_equal_only_in_kind(a, b, equal: bool) -> None:
    assert same(a, b) is equal
    assert same(b, a) is equal
