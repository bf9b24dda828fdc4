"""Rules one by one, on fingerprints made by hand; the worked examples of the science reference come out exactly."""

from __future__ import annotations

from typing import Any

import pytest

from ercpseg.documents.fingerprint import Fingerprint, StructureFingerprint
from ercpseg.documents.plan import NetworkValues, Plan, Size
from ercpseg.errors import ResourceError, UsageError
from ercpseg.planner.budget import Budget, StepCost
from ercpseg.planner.plan import make_plan
from ercpseg.planner.recipes import load_recipe
from ercpseg.planner.rule import parse_text
from ercpseg.planner.rules import KEYS, RULES
from ercpseg.planner.rules_frame import ideal_scale
from ercpseg.planner.rules_loss import alpha_solo, draw_shares
from ercpseg.planner.sizes import batch_for_memory, features_for, largest_working_size
from tests.golden.planner.generate import (
    chest_like,
    ercp_like,
    fingerprint,
    franet_like,
    martin_like,
    spread,
    steady,
    structure,
)

CPU, GPU = Budget("cpu", 8.0, threads=2), Budget("cuda", 8.0)


def plan_for(f: Fingerprint, budget: Budget = GPU, **overrides: Any) -> Plan:
    """Plan by the rules; overrides with ``__`` for the dot."""
    pins = {key.replace("__", "."): value for key, value in overrides.items()}
    return make_plan(f, load_recipe("auto"), budget, overrides=pins)


# -- worked examples -----------------------------------------------------------------------------------------------


def test_martin_like_example() -> None:
    values = plan_for(martin_like()).values
    assert values.preparation.working_long_side_px == 512
    assert values.preparation.field_mask
    assert round(alpha_solo(0.0047), 1) == 21.2
    assert values.loss.focal_alpha == {"endoscope": 1.0, "guidewire": 4.6, "instrument": 1.0}
    assert values.loss.focal_gamma == {"endoscope": 0.0, "guidewire": 2.0, "instrument": 0.0}
    assert values.sampling.oversample_frac == 0.5
    assert len(values.network.features) == 7 + 1  # n_pool 7
    assert values.loss.level_weights == (1.0, 0.5)  # full and ½ only
    assert values.loss.max_pooled == ("guidewire",)
    inputs = plan_for(martin_like()).decision("postprocess.steps").inputs["endoscope"]
    assert (inputs["candidate_opening_px"], inputs["candidate_closing_px"]) == (5, 35)
    assert values.folds.method == "grouped"


def test_franet_like_example() -> None:
    values = plan_for(franet_like()).values
    assert values.preparation.working_long_side_px == 512  # s = 1
    assert round(alpha_solo(0.001), 1) == 99.9
    assert values.loss.focal_alpha["guidewire"] == pytest.approx(10.0, abs=0.01)
    assert values.loss.focal_gamma["guidewire"] == 2.5
    assert values.sampling.oversample_frac == 0.5
    below = fingerprint({"guidewire": structure(0.0009, spread(2.8, 2.2), 200.0, 300.0)})
    assert plan_for(below).values.sampling.oversample_frac == 0.67


def test_without_dice_the_focal_term_gets_the_whole_alpha() -> None:
    plan = plan_for(martin_like(), loss__dice_weight={"endoscope": 1.0, "guidewire": 0.0, "instrument": 1.0})
    assert plan.values.loss.focal_alpha["guidewire"] == 21.18


# -- frames --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "width", "scale"),
    [
        (1024, None, 0.5),  # nothing thin: 512 px
        (300, None, 1.0),  # never enlarged without need
        (1024, 6.0, 0.5),  # 3 px are left
        (1024, 4.0, 0.75),  # 3/4
        (512, 2.5, 1.0),  # 3 px would need enlarging; 2 px are there
        (512, 1.6, 1.25),  # enlarged to 2 px
        (512, 1.0, 1.5),  # not beyond 1.5
    ],
)
def test_working_scale(side: int, width: float | None, scale: float) -> None:
    assert ideal_scale(side, width)[0] == scale


@pytest.mark.parametrize(("exposed", "outside", "masked"), [(0.78, 0.0, True), (0.97, 0.0, False), (0.78, 0.01, False)])
def test_field_mask(exposed: float, outside: float, masked: bool) -> None:
    f = fingerprint(martin_like().structures, field_frac=spread(exposed), annotated_outside_field_frac=outside)
    assert plan_for(f).values.preparation.field_mask is masked


@pytest.mark.parametrize(("bright", "words"), [(1.0, "agree with each other"), (0.5, "invert the bright frames")])
def test_bright_devices_are_warned_of(bright: float, words: str) -> None:
    wire = structure(0.005, spread(6.0), 500.0, 900.0, device=True, bright_frac=bright)
    (warning,) = plan_for(fingerprint({"guidewire": wire})).warnings
    assert words in warning


def test_a_short_time_makes_frames_smaller_but_never_loses_the_wire() -> None:
    def slow(network: NetworkValues, patch: Size, batch: int, heads: int) -> StepCost:
        return StepCost(batch * patch[0] * patch[1] / 512**2, 1.0)

    wire = fingerprint({"guidewire": structure(0.005, spread(6.0, 4.0), 500.0, 900.0)})
    long = make_plan(wire, load_recipe("auto"), Budget("cpu", 8.0, 36000.0), slow).values
    short = make_plan(wire, load_recipe("auto"), Budget("cpu", 8.0, 60.0), slow).values
    assert long.preparation.working_long_side_px == 768  # 3 px at w₁₀ = 4 of 1024
    assert short.preparation.working_long_side_px == 512  # 2 px
    assert short.patch.batch_size == 2


# -- network -------------------------------------------------------------------------------------------------------


def test_nnunet_reference_batch() -> None:
    # The estimate's own anchor: 12 samples of 512² in 8 GB; the science reference: 3 of 1024².
    assert batch_for_memory("unet", features_for("unet", 512), (512, 512), 2, 8.0) == 12
    assert batch_for_memory("unet", features_for("unet", 1024), (1024, 1024), 2, 8.0) == 3


def test_the_patch_holds_every_frame() -> None:
    values = plan_for(ercp_like(), CPU).values
    assert values.patch.size_px == (512, 512)
    assert values.patch.whole_frame
    rectangular = fingerprint(martin_like().structures, shapes={"1024 x 700": 100}, aspect=spread(700 / 1024))
    assert plan_for(rectangular, CPU).values.patch.size_px == (512, 384)


@pytest.mark.parametrize("side", range(16, 1100, 37))
def test_working_sizes_are_never_larger_than_the_patch(side: int) -> None:
    for h, w in [(1024, 1023), (333, 1000), (77, 13)]:
        height, width = largest_working_size([(h, w)], side)
        scale = side / max(h, w)
        assert round(h * scale) <= height
        assert round(w * scale) <= width


def test_very_large_frames_are_tiled() -> None:
    # A wire of 2 px in 2048 px must not shrink, so the frame does not fit one patch.
    f = fingerprint(
        {"guidewire": structure(0.001, spread(2.5, 2.0), 900.0, 900.0)},
        shapes={"2048 x 2048": 100},
        reference_long_side_px=2048,
    )
    values = plan_for(f).values
    assert values.preparation.working_long_side_px == 2048
    assert values.patch.size_px == (512, 512)
    assert not values.patch.whole_frame


def test_frames_are_tiled_where_two_do_not_fit_the_memory() -> None:
    f = fingerprint({"guidewire": structure(0.001, spread(4.0, 3.0), 900.0, 900.0)})
    assert plan_for(f, Budget("cuda", 8.0)).values.patch.size_px == (1024, 1024)
    small = plan_for(f, Budget("cuda", 3.0)).values.patch
    assert (small.size_px, small.whole_frame) == ((512, 512), False)


def test_small_frames_get_fewer_levels() -> None:
    f = fingerprint({"blob": structure(0.1, spread(8.0), 8.0, 60.0)}, shapes={"40 x 40": 9}, reference_long_side_px=40)
    for budget in (CPU, GPU):
        values = plan_for(f, budget).values
        assert values.patch.size_px == (40, 40)
        assert len(values.network.features) >= 3


def test_a_batch_that_does_not_fit_is_halved() -> None:
    def tight(network: NetworkValues, patch: Size, batch: int, heads: int) -> StepCost:
        if batch > 4:
            raise ResourceError("out of memory")
        return StepCost(0.01, 3.0 * batch)

    values = make_plan(martin_like(), load_recipe("auto"), GPU, tight).values
    assert values.patch.batch_size == 2


def test_batch_grows_with_rarity() -> None:
    def batch(q: float) -> int:
        f = fingerprint({"stone": structure(0.02, spread(20.0), 20.0, 300.0, q=q)})
        return plan_for(f, CPU, sampling__oversample_frac=0.0).values.patch.batch_size

    assert [batch(q) for q in (1.0, 0.5, 0.05)] == [4, 5, 8]


def test_no_supervision_where_nothing_is_left() -> None:
    # 1.2 px after enlarging to 1.5 × 0.8: half of it is below one pixel.
    f = fingerprint(
        {"guidewire": structure(0.001, spread(1.0, 0.8), 200.0, 100.0)},
        shapes={"512 x 512": 100},
        reference_long_side_px=512,
    )
    values = plan_for(f).values
    assert values.network.deep_supervision == 0
    assert values.loss.level_weights == (1.0,)


# -- loss and sampling ---------------------------------------------------------------------------------------------


def test_a_structure_that_is_never_shown_has_no_dice() -> None:
    loss = plan_for(chest_like()).values.loss
    assert loss.dice_weight["drain"] == 0.0
    assert loss.focal_weight["drain"] == 1.0


def test_draw_shares() -> None:
    # 1/√p is 10 and 30: a quarter and three quarters.
    assert draw_shares({"a": 0.01, "b": 1 / 900}) == {"a": 0.25, "b": 0.75}
    shares = draw_shares({"a": 0.2, "b": 0.001, "c": 0.1})
    assert shares["a"] == shares["c"] == 0.15
    assert sum(draw_shares(dict.fromkeys("abcdefgh", 0.1)).values()) == pytest.approx(1)
    assert draw_shares({}) == {}


# -- augmentation --------------------------------------------------------------------------------------------------


def test_mirroring_only_without_sides() -> None:
    blob = structure(0.1, spread(30.0), 30.0, 800.0)
    assert plan_for(fingerprint({"vessel": blob})).values.augmentation.mirror_axes == (1,)
    for name in ("endoscope", "cbd", "left_lung", "lung_right"):
        assert plan_for(fingerprint({name: blob})).values.augmentation.mirror_axes == ()


# -- training ------------------------------------------------------------------------------------------------------


def test_the_schedule_fits_the_time() -> None:
    values = make_plan(ercp_like(), load_recipe("auto"), Budget("cpu", 8.0, 600.0), steady).values.schedule
    assert values.seconds_per_iteration is not None
    total = values.epochs * values.iterations_per_epoch
    assert 0.7 * 600 < total * values.seconds_per_iteration <= 0.8 * 600


def test_cpu_default_is_half_an_hour() -> None:
    schedule = plan_for(ercp_like(), CPU).values.schedule
    assert schedule.time_budget_s == 1800.0
    assert schedule.seconds_per_iteration is None


def test_a_minute_still_gives_several_epochs() -> None:
    schedule = make_plan(ercp_like(), load_recipe("auto"), Budget("cpu", 8.0, 20.0), steady).values.schedule
    assert schedule.epochs >= 5


@pytest.mark.parametrize(("frames", "epochs"), [(299, 250), (300, 1000)])
def test_gpu_epochs(frames: int, epochs: int) -> None:
    values = plan_for(fingerprint(martin_like().structures, frames=frames)).values
    assert (values.schedule.epochs, values.schedule.iterations_per_epoch) == (epochs, 250)
    assert values.optimiser.name == "sgd"


@pytest.mark.parametrize(
    ("patients", "frames", "count", "method"),
    [
        (40, 100, 5, "grouped"),
        (25, 100, 5, "grouped"),
        (24, 100, 10, "grouped"),
        (6, 100, 6, "grouped"),
        (3, 9, 3, "grouped"),
        (2, 80, 5, "frame-wise"),
        (1, 3, 3, "frame-wise"),
        (1, 1, 1, "frame-wise"),
    ],
)
def test_folds(patients: int, frames: int, count: int, method: str) -> None:
    plan = plan_for(fingerprint(martin_like().structures, patients=patients, frames=frames))
    assert (plan.values.folds.count, plan.values.folds.method) == (count, method)
    assert any("TOO GOOD" in warning for warning in plan.warnings) == (method == "frame-wise")


# -- post-processing -----------------------------------------------------------------------------------------------


def test_no_opening_on_thin_structures_and_nothing_large_is_removed() -> None:
    steps = plan_for(ercp_like()).values.postprocess.steps
    assert [s.name for s in steps["guidewire"]] == ["remove_short"]
    assert [s.name for s in steps["stone"]] == ["remove_small"]
    assert steps["stone"][0].params == {"min_area_px": 22.5}  # ¼ of 90
    assert steps["cbd"][0].params == {"min_frac": 0.1}
    assert [s.name for s in steps["endoscope"]] == ["fill_holes", "remove_small"]
    assert steps["endoscope"][1].params["min_area_px"] <= 28.0**2


# -- the table -----------------------------------------------------------------------------------------------------


def test_every_value_has_one_rule() -> None:
    assert len(set(KEYS)) == len(KEYS)
    values = plan_for(ercp_like()).values
    wanted = {f"{section}.{field}" for section, part in values for field in type(part).model_fields}
    assert set(KEYS) == wanted


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.decide.__name__)
def test_every_rule_says_why_in_the_fixed_form(rule: Any) -> None:
    text = rule.text
    assert all((text.subject, text.decides, text.from_, text.because, text.source, text.evidence))


@pytest.mark.parametrize(
    "docstring",
    [
        "R6: size.\n\nDecides: a.\nFrom: b.\nBecause: c.\nSource: d",  # no evidence
        "R6: size.\n\nDecides: a.\nBecause: c.\nFrom: b.\nSource: d [J]",  # another order
        "Size.\n\nDecides: a.\nFrom: b.\nBecause: c.\nSource: d [J]",  # no number
    ],
)
def test_another_form_is_refused(docstring: str) -> None:
    with pytest.raises(ValueError, match=r"expected 'R<number>|without evidence"):
        parse_text(docstring)


def test_nonsense_budgets_are_refused() -> None:
    with pytest.raises(UsageError, match="memory and time above 0"):
        Budget("cpu", 8.0, 0.0)


def test_rules_do_not_need_contrast_or_noise() -> None:
    bare = StructureFingerprint(**ercp_like().structures["cbd"].model_dump() | {"contrast": None})
    assert plan_for(fingerprint({"cbd": bare})).values.heads.structures == ("cbd",)
