from __future__ import annotations

from typing import Any

import pytest

from ercpseg.documents.plan import Plan
from ercpseg.documents.recipe import Recipe
from ercpseg.errors import DocumentError, UsageError
from ercpseg.planner.budget import Budget
from ercpseg.planner.explain import decision_rows, rules_markdown, to_markdown
from ercpseg.planner.plan import make_plan
from ercpseg.planner.recipes import load_recipe
from ercpseg.planner.rules import RULES
from tests.golden.planner.generate import ercp_like, steady

CPU = Budget("cpu", 8.0, threads=2)


def recipe(**values: Any) -> Recipe:
    return Recipe.new(
        name="test", title="Test", cites=("Someone 2020",), set={k.replace("__", "."): v for k, v in values.items()}
    )


def test_every_decision_says_who_why_and_whence() -> None:
    plan = make_plan(ercp_like(), load_recipe("auto"), CPU, steady)
    for decision in plan.decisions:
        assert decision.by == "rule"
        assert decision.rule.startswith("R")
        assert decision.because.endswith((".", "%"))
        assert decision.source.endswith("]")


def test_a_plan_survives_a_trip_through_json() -> None:
    import json

    plan = make_plan(ercp_like(), load_recipe("auto"), CPU, steady)
    again = Plan.parse(json.loads(plan.to_json()))
    assert again == plan
    assert again.values == plan.values


def test_the_recipe_pins_and_the_user_wins() -> None:
    pins = recipe(patch__batch_size=3, augmentation__rotation_deg=5.0, augmentation__noise_sd="auto")
    plan = make_plan(ercp_like(), pins, CPU, steady, {"patch.batch_size": 6})
    assert plan.values.patch.batch_size == 6
    assert plan.decision("patch.batch_size").by == "user"
    rotation = plan.decision("augmentation.rotation_deg")
    assert (rotation.value, rotation.by, rotation.rule, rotation.source) == (5.0, "recipe", "pin", "Someone 2020")
    assert "R19 would say 15.0" in rotation.because
    assert plan.decision("augmentation.noise_sd").by == "rule"


def test_rules_below_a_pin_see_it() -> None:
    plan = make_plan(ercp_like(), recipe(network__name="unet"), CPU)
    assert plan.values.network.features[0] == 32
    small = make_plan(ercp_like(), load_recipe("auto"), CPU, None, {"preparation.working_long_side_px": 256})
    assert (small.values.patch.size_px, small.values.patch.tile_px) == ((192, 192), (256, 256))
    tiled = make_plan(ercp_like(), load_recipe("auto"), CPU, None, {"patch.size_px": [256, 256]})
    assert not tiled.values.patch.whole_frame


def test_one_entry_can_be_set() -> None:
    plan = make_plan(ercp_like(), load_recipe("auto"), CPU, None, {"postprocess.threshold.stone": 0.3})
    assert plan.values.postprocess.threshold == {"endoscope": 0.5, "guidewire": 0.5, "cbd": 0.5, "stone": 0.3}
    decision = plan.decision("postprocess.threshold")
    assert decision.by == "user"
    assert decision.because.startswith("stone set by the user")


def test_a_users_whole_value_replaces_a_recipes_entry() -> None:
    pins = Recipe.new(name="t", title="T", set={"postprocess.threshold.stone": 0.3})
    whole = {"endoscope": 0.4, "guidewire": 0.4, "cbd": 0.4, "stone": 0.4}
    plan = make_plan(ercp_like(), pins, CPU, None, {"postprocess.threshold": whole})
    assert plan.values.postprocess.threshold == whole


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("network.nam", "light", "network.name"),
        ("colour", 1, "plan.md"),
        ("network.name", "resnet", "light"),
        ("patch.batch_size", "many", "integer"),
        ("patch.batch_size", 0, "greater than or equal to 1"),
        ("optimiser.learning_rate", "1e-3", "1.0e-3"),
        ("patch.size_px", [500, 500], "multiples of 64"),
        ("patch.size_px", "abc", "tuple"),
        ("patch.size_px", [0, 64], "at least 1 px"),
        ("patch.tile_px", [-64, 64], "at least 1 px"),
        ("patch.tile_px", [600, 600], "patch.tile_px: .* multiples of 64"),
        ("postprocess.threshold.liver", 0.5, "endoscope"),
        ("patch.batch_size.x", 1, "has no entry"),
        ("network.deep_supervision", 0, "deep_supervision"),
        ("heads.structures", ["liver"], "expected some of endoscope, guidewire, cbd, stone"),
        ("heads.parents", ["vessel"], "expected instrument, duct"),
        ("loss.head_weight", {"endoscope": 1.0}, "expected endoscope"),
        ("postprocess.threshold", {"liver": 0.5}, "postprocess.threshold"),
    ],
)
def test_what_does_not_fit_is_a_usage_error(key: str, value: Any, message: str) -> None:
    overrides = {key: value}
    if key == "network.deep_supervision":
        overrides["loss.level_weights"] = [1.0, 0.5]
    with pytest.raises(UsageError, match=message):
        make_plan(ercp_like(), load_recipe("auto"), CPU, None, overrides)


def test_a_recipe_that_does_not_fit_is_a_document_error() -> None:
    with pytest.raises(DocumentError, match="batch_size"):
        make_plan(ercp_like(), recipe(patch__batch_size=0), CPU)
    with pytest.raises(DocumentError, match="no such step"):
        make_plan(
            ercp_like(), Recipe.new(name="t", title="T", set={"postprocess.steps.stone": [{"name": "magic"}]}), CPU
        )


def test_the_machine_is_asked_once_per_question() -> None:
    asked = []

    def measure(*question: Any) -> Any:
        asked.append(question)
        return steady(*question)

    make_plan(ercp_like(), load_recipe("auto"), CPU, measure)
    assert len(asked) == len(set(asked)) <= 6


def test_markdown_has_a_row_per_decision_and_survives_hostile_names() -> None:
    f = ercp_like().model_copy(update={"warnings": ("a | b <script>",), "dataset": "x"})
    plan = make_plan(f, load_recipe("auto"), CPU, steady)
    text = to_markdown(plan)
    assert sum(line.startswith("| `") for line in text.splitlines()) == len(plan.decisions) == len(decision_rows(plan))
    assert "a \\| b &lt;script>" in text
    assert all(line.count(" | ") == 6 for line in text.splitlines() if line.startswith("| `"))


def test_the_rules_page_names_every_rule() -> None:
    text = rules_markdown()
    assert sum(line.startswith("## R") for line in text.splitlines()) == len(RULES)
