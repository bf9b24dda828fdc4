"""Pinned values that cannot be are refused while planning, with the range; what is asked for is what is planned for."""

from __future__ import annotations

from typing import Any

import pytest

from ercpseg.errors import DocumentError, UsageError
from ercpseg.planner.budget import Budget
from ercpseg.planner.plan import make_plan
from ercpseg.planner.recipes import load_recipe
from tests.golden.planner.generate import ercp_like, forward_steady, steady

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


def test_a_pinned_limit_is_planned_for() -> None:
    assert (
        plan(inference__latency_budget_ms=5.0).values.network.name == "light"
    )  # realtime is no faster on this machine
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


def test_a_faster_network_is_taken_where_the_measured_one_is_too_slow() -> None:
    def forward(network: Any, tile: Any, heads: int, frames: int) -> float:
        return 10.0 if network.name == "realtime" else 60.0

    budget = Budget("cpu", 8.0, 600.0, 2, latency_ms=33.0)
    made = make_plan(ercp_like(), load_recipe("auto"), budget, steady, forward=forward)
    assert made.values.network.name == "realtime"
    assert made.decision("network.name").inputs["forward_ms"] == {"light": 60.0, "realtime": 10.0}


def test_a_recipes_mistake_names_the_recipe_the_key_and_the_choices() -> None:
    recipe = load_recipe("auto").model_copy(update={"name": "mine", "set": {"loss.terms": [{"name": "nope"}]}})
    with pytest.raises(DocumentError) as caught:
        make_plan(ercp_like(), recipe, CPU, steady)
    assert caught.value.where == "recipe mine: loss.terms"
    assert "cldice" in str(caught.value.expected)
