"""Pinned values that cannot be are refused while planning, with the range; what is asked for is what is planned for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ercpseg.errors import DocumentError, UsageError
from ercpseg.planner.budget import Budget
from ercpseg.planner.pins import check_pins, check_value
from ercpseg.planner.plan import make_plan
from ercpseg.planner.recipes import load_recipe
from ercpseg.planner.rules import KEYS
from tests.golden.planner.generate import ercp_like, forward_steady, steady

BOOLEAN = {
    "preparation.invert",
    "preparation.field_mask",
    "preparation.equalise",
    "patch.whole_frame",
    "network.options",
}
"""Keys that are booleans, or may hold one."""
CPU = Budget("cpu", 8.0, 600.0, threads=2)


def plan(budget: Budget = CPU, **pins: Any) -> Any:
    overrides = {key.replace("__", "."): value for key, value in pins.items()}
    return make_plan(ercp_like(), load_recipe("auto"), budget, steady, overrides, forward=forward_steady)


@pytest.mark.parametrize(
    "pins",
    [
        {"optimiser__learning_rate": -1},
        {"optimiser__momentum": 5},
        {"augmentation__mirror_axes": [5]},
        {"augmentation__scale": [2.0, 1.0]},
        {"augmentation__scale": [-1.0, 1.0]},
        {"augmentation__rotation_deg": 9999},
        {"loss__head_weight": -1},
        {"loss__focal_alpha__stone": -3},
        {"loss__fn_weight": 3},
        {"postprocess__threshold__guidewire": 1.5},
        {"postprocess__steps__stone": [{"name": "remove_small", "params": {}}]},
        {"preparation__clip_percentiles": [99, 1]},
        {"tuning__kernels_px": {"endoscope": [[0, -5]]}},
        {"preparation__thin": ["nosuch"]},
        {"loss__max_pooled": ["nosuch"]},
        {"preparation__dilate_px": {"nosuch": 1}},
        {"tuning__longest_gap_px": {"nosuch": 3}},
        {"sampling__structure_share": {"nosuch": 1}},
        *({"input__frames": frames} for frames in (0, 9, 2.5, True, "four", "4")),
    ],
    ids=lambda pins: f"{next(iter(pins))}={next(iter(pins.values()))}"[:50],
)
def test_what_cannot_be_is_refused(pins: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        plan(**pins)


NUMBERS = {
    "patch.batch_size": True,
    "preparation.median_px": False,
    "preparation.dilate_px": True,
    "preparation.dilate_px.cbd": True,
    "preparation.dataset_mean_sd": [True, 1.0],
    "patch.size_px": [256, True],
    "network.features": [16, True, 32],
    "network.deep_supervision": False,
    "augmentation.mirror_axes": [True],
    "augmentation.scale": [True, 1.5],
    "schedule.seed": True,
    "schedule.time_budget_s": True,
    "folds.count": True,
    "optimiser.momentum": False,
    "loss.focal_alpha": False,
    "loss.focal_alpha.stone": True,
    "loss.level_weights": [1.0, True],
    "loss.terms": [{"name": "dice", "weight": True}],
    "postprocess.steps": [{"name": "remove_small", "params": {"area_px": True}}],
    "tuning.kernels_px": {"endoscope": [[1, True]]},
}


@pytest.mark.parametrize("key", NUMBERS)
def test_true_and_false_are_no_numbers(key: str, tmp_path: Path) -> None:
    """In a recipe's file as at the command, and wherever in the value they stand; what is no number may be so."""
    with pytest.raises(UsageError, match="true and false are no numbers") as told:
        plan(**{key.replace(".", "__"): NUMBERS[key]})
    assert key in str(told.value.where)
    file = tmp_path / "mine.yaml"
    pins = json.dumps({key: NUMBERS[key], "preparation.field_mask": True})
    file.write_text(f"schema: ercpseg.recipe/1\nname: mine\ntitle: T\nset: {pins}\n")
    with pytest.raises(UsageError) as told:
        load_recipe(file)
    assert "mine.yaml" in str(told.value.where) and key in str(told.value.where)


@pytest.mark.parametrize("key", [key for key in KEYS if key not in BOOLEAN])
def test_no_number_of_the_plan_takes_a_boolean(key: str) -> None:
    for value in (True, [True, True], {"stone": True}, {"stone": [[True, True]]}):
        with pytest.raises((UsageError, DocumentError)):
            check_pins({key: value})
            check_value(key, value, ("endoscope", "guidewire", "cbd", "stone"), by_user=True)


def test_an_entry_beside_its_whole_is_checked_too() -> None:
    with pytest.raises(UsageError, match=r"cannot be loss\.focal_alpha"):
        plan(**{"loss__focal_alpha": 2.0, "loss__focal_alpha__stone": -3})


def test_a_pinned_limit_is_planned_for() -> None:
    assert (
        plan(inference__latency_budget_ms=5.0).values.network.name == "realtime"
    )  # light is no faster on this machine
    warned = [w for w in plan(inference__latency_budget_ms=5.0).warnings if "LATENCY" in w]
    assert len(warned) == 1
    short, long = plan(schedule__time_budget_s=60.0), plan(schedule__time_budget_s=1200.0)
    steps = [p.values.schedule.epochs * p.values.schedule.iterations_per_epoch for p in (short, long)]
    assert steps[1] >= 10 * steps[0]


def test_pinned_epochs_keep_the_schedule_whole() -> None:
    free, pinned = plan().values.schedule, plan(schedule__iterations_per_epoch=10).values.schedule
    assert pinned.expected_epoch_s == pytest.approx(free.expected_epoch_s * 10 / free.iterations_per_epoch, rel=0.01)
    assert pinned.epochs * 10 == pytest.approx(free.epochs * free.iterations_per_epoch, rel=0.05)


def test_a_pinned_optimiser_brings_its_own_numbers() -> None:
    o = plan(optimiser__name="sgd").values.optimiser
    assert (o.learning_rate, o.momentum, o.weight_decay, o.schedule) == (0.01, 0.99, 3e-5, "poly")


def test_a_sparse_decision_takes_another_entry() -> None:
    assert plan(preparation__dilate_px__cbd=2).values.preparation.dilate_px["cbd"] == 2


def test_too_little_memory_is_told() -> None:
    assert any(w.startswith("MEMORY") for w in plan(Budget("cpu", 0.01, 600.0, 2)).warnings)
    assert any(w.startswith("MEMORY") for w in plan(Budget("cuda", 0.01)).warnings)
    assert not any(w.startswith("MEMORY") for w in plan().warnings)


def test_the_batch_says_what_presence_needs() -> None:
    decision = plan(Budget("cuda", 1.0)).decision("patch.batch_size")
    needed = decision.inputs["needed_for_presence"]
    assert f"{needed} would show" in decision.because


def test_one_fold_holds_nothing_out() -> None:
    assert any("NOTHING IS HELD OUT" in w for w in plan(folds__count=1).warnings)


@pytest.mark.parametrize(("device", "slow", "fast"), [("cuda", "light", "realtime"), ("cpu", "realtime", "light")])
def test_a_faster_network_is_taken_where_the_measured_one_is_too_slow(device: Any, slow: str, fast: str) -> None:
    def forward(network: Any, tile: Any, heads: int, frames: int) -> float:
        return 10.0 if network.name == fast else 60.0

    budget = Budget(device, 8.0, 600.0, 2, latency_ms=33.0)
    made = make_plan(ercp_like(), load_recipe("auto"), budget, steady, forward=forward)
    assert made.values.network.name == fast
    assert made.decision("network.name").inputs["forward_ms"] == {slow: 60.0, fast: 10.0}


def test_a_mistake_in_the_terms_of_pre_training_is_not_blamed_on_the_loss() -> None:
    with pytest.raises((UsageError, DocumentError)) as caught:
        plan(transfer__pretrain_terms=[{"name": "nope"}])
    assert "transfer.pretrain_terms" in str(caught.value.where)


def test_what_is_no_finite_number_is_refused() -> None:
    with pytest.raises(UsageError, match="no number to plan with"):
        plan(optimiser__learning_rate="nan")


def test_a_recipes_mistake_names_the_recipe_the_key_and_the_choices() -> None:
    recipe = load_recipe("auto").model_copy(update={"name": "mine", "set": {"loss.terms": [{"name": "nope"}]}})
    with pytest.raises(DocumentError) as caught:
        make_plan(ercp_like(), recipe, CPU, steady)
    assert caught.value.where == "recipe mine: loss.terms"
    assert "cldice" in str(caught.value.expected)
