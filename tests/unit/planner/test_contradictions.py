"""What speaks against pins is told, with the numbers; rules alone contradict nothing."""

from __future__ import annotations

from typing import Any

import pytest

from ercpseg.documents.fingerprint import Fingerprint, IntensityFingerprint
from ercpseg.planner.budget import Budget
from ercpseg.planner.checks import Case
from ercpseg.planner.contradictions import CHECKS, contradictions
from ercpseg.planner.plan import make_plan
from ercpseg.planner.recipes import load_recipe
from tests.golden.planner.generate import (
    calibrated_cine,
    chest_like,
    ercp_like,
    fingerprint,
    forward_steady,
    franet_like,
    martin_like,
    plans,
    soft_regions,
    spread,
    steady,
    structure,
    three_patients,
)

CPU, GPU = Budget("cpu", 8.0, threads=2), Budget("cuda", 8.0)
DATA = (martin_like, franet_like, ercp_like, chest_like, soft_regions, calibrated_cine, three_patients)


def told(data: Fingerprint, budget: Budget = GPU, measured: bool = False, **pins: Any) -> list[str]:
    """The contradictions of a plan with these pins (``__`` for the first dot)."""
    overrides = {key.replace("__", ".", 1).replace("__", "."): value for key, value in pins.items()}
    plan = make_plan(
        data,
        load_recipe("auto"),
        budget,
        steady if measured else None,
        overrides,
        forward=forward_steady if measured else None,
    )
    return [w for w in plan.warnings if w.startswith("Contradiction")]


STILL = {
    "augmentation__rotation_deg": 0.0,
    "augmentation__scale": [1.0, 1.0],
    "augmentation__shift_frac": 0.0,
    "augmentation__mirror_axes": [],
    "augmentation__elastic_prob": 0.0,
    "augmentation__apply_prob": 0.0,
    "augmentation__invert_prob": 0.0,
}
"""No augmentation: greys are never altered, frames never moved."""


@pytest.mark.parametrize("make", DATA)
@pytest.mark.parametrize("budget", [CPU, GPU], ids=["cpu", "cuda"])
def test_rules_contradict_nothing(make: Any, budget: Budget) -> None:
    data = make()
    assert told(data, budget) == []
    # Even if every value counted as pinned, the rules agree with the data (but for what a lack of time forces on them).
    plan = make_plan(data, load_recipe("auto"), budget)
    assert contradictions(Case(plan.values, data, budget), {d.key for d in plan.decisions}) == ()


def test_golden_plans_have_none() -> None:
    assert [w for plan in plans().values() for w in plan.warnings if "Contradiction" in w] == []


def bright() -> Fingerprint:
    wire = structure(0.005, spread(6.0), 500.0, 900.0, device=True, bright_frac=1.0)
    return fingerprint({"guidewire": wire}, bright_device_frac=1.0)


def shaky() -> Fingerprint:
    calm = IntensityFingerprint(mean=spread(0.4), sd=spread(0.1), noise_sd=spread(0.05), mean_cv=0.3, sd_cv=0.1)
    return fingerprint(martin_like().structures, intensity=calm, annotated_outside_field_frac=0.02)


HEADS = {"endoscope": 1.0, "guidewire": 0.0, "instrument": 1.0}
SCOPE_STEPS: dict[str, list[dict[str, Any]]] = {"endoscope": [], "guidewire": []}


@pytest.mark.parametrize(
    ("data", "pins", "words"),
    [
        (martin_like, {"preparation__working_long_side_px": 256}, "guidewire is 1.5 px wide at 256 px"),
        (martin_like, {"preparation__median_px": 15}, "a median of 15 px erases lines narrower than 7.5 px"),
        (martin_like, {"preparation__invert": True}, "devices are dark in 100 %"),
        (bright, {"preparation__invert": False}, "devices are bright in 100 %"),
        (shaky, {"preparation__field_mask": True}, "2.0 % of the annotated pixels lie outside"),
        (shaky, {"preparation__dataset_mean_sd": [1.0, 2.0]}, "coefficient of variation 0.30"),
        (calibrated_cine, {"preparation__equalise": True}, "that of the dataset is not used"),
        (
            martin_like,
            {"preparation__dilate_px": {"guidewire": 1}, "postprocess__steps": SCOPE_STEPS},
            "come out thick",
        ),
        (
            martin_like,
            {"postprocess__steps__guidewire": [{"name": "thin_back", "params": {"radius_px": 1}}]},
            "its training masks are not thickened",
        ),
        (
            martin_like,
            {
                "preparation__dilate_px": {"guidewire": 1},
                "postprocess__steps__guidewire": [{"name": "thin_back", "params": {"radius_px": 1}}],
            },
            "thinned back by the other kernel",
        ),
        (
            martin_like,
            {"network__deep_supervision": 2, "loss__level_weights": [1.0, 0.5, 0.25]},
            "guidewire keeps 0.8 px at output level 2",
        ),
        (martin_like, {"augmentation__mirror_axes": [0]}, "upside down"),
        (
            lambda: calibrated_cine().model_copy(update={"entry_sides": {"left": 0.95, "right": 0.05}}),
            {"augmentation__mirror_axes": [1]},
            "from the left in 95 % and from the right in 5 %",
        ),
        (martin_like, {"augmentation__multiply": 10, **STILL}, "10 copies of every frame, and no augmentation"),
        (martin_like, {"augmentation__elastic_shift_px": 50.0}, "stretch by more than 15 %"),
        (martin_like, {"augmentation__low_resolution": 0.5}, "guidewire keeps 1.5 px"),
        (
            martin_like,
            {
                "loss__dice_weight": HEADS,
                "loss__focal_weight": HEADS,
                "loss__skeleton_weight": dict.fromkeys(HEADS, 0.0),
            },
            "guidewire counts with 1 but has no term",
        ),
        (martin_like, {"loss__skeleton_weight__endoscope": 1.0}, "endoscope is not thin"),
        (
            chest_like,
            {"sampling__structure_share": {"left_lung": 0.5, "central_line": 0.0, "tubings": 0.0, "drain": 0.5}},
            "no frame shows drain",
        ),
        (
            martin_like,
            {"postprocess__steps__guidewire": [{"name": "keep_largest"}]},
            "keep_largest deletes parts of guidewire",
        ),
        (
            martin_like,
            {"postprocess__steps__guidewire": [{"name": "open_close", "params": {"opening_px": 5}}]},
            "an opening of 5 px deletes guidewire",
        ),
        (
            ercp_like,
            {"postprocess__steps__stone": [{"name": "remove_small", "params": {"min_area_px": 100}}]},
            "smaller than 90 px",
        ),
        (ercp_like, {"folds__method": "frame-wise"}, "folds tear 12 groups by patient apart"),
        (ercp_like, {"folds__count": 20}, "20 folds of 12 groups"),
    ],
)
def test_what_speaks_against_a_pin_is_told(data: Any, pins: dict[str, Any], words: str) -> None:
    found = told(data(), **pins)
    assert len([w for w in found if words in w]) == 1, found
    assert all("pinned)" in w for w in found)


def test_copies_that_anything_alters_are_no_contradiction() -> None:
    for key, value in (("mirror_axes", [1]), ("shift_frac", 0.1), ("elastic_prob", 1.0), ("apply_prob", 0.2)):
        pins = {"augmentation__multiply": 10, **STILL, f"augmentation__{key}": value}
        assert not [w for w in told(martin_like(), **pins) if "copies of every frame" in w], key


def test_frames_of_series_that_nobody_knows() -> None:
    stills = fingerprint(martin_like().structures, series=0)
    assert "so every frame is repeated 4 times (R11)" in told(stills, input__frames=4)[0]
    assert told(stills, input__frames=1) == told(martin_like(), input__frames=4) == []


def test_budgets() -> None:
    small = Budget("cpu", 0.5, 60.0, 2, latency_ms=20.0)
    found = told(ercp_like(), small, True, patch__batch_size=16, schedule__epochs=1000)
    assert any("more than the 0.5 GB" in w for w in found)
    assert any("more than the 60 s asked for" in w for w in found)
    assert any(
        "more than the 20 ms" in w for w in told(ercp_like(), small, True, preparation__working_long_side_px=1024)
    )


def test_making_frames_that_takes_the_time_to_learn_on_them() -> None:
    """9,000 frames of the phantom take 300 s, of scenes 900 s; half of ten minutes is 300 s."""
    share = {"transfer__pretrain_share": 0.5, "transfer__synthetic_frames": 9000}
    (found,) = told(martin_like(), **share, schedule__time_budget_s=600.0)
    assert "takes about 300 s of the 300 s" in found
    assert "transfer.pretrain_share" in found
    assert told(martin_like(), **share, schedule__time_budget_s=1300.0) == []
    (scenes,) = told(martin_like(), **share, schedule__time_budget_s=1300.0, transfer__pretrain_domain="any-room")
    assert "takes about 900 s of the 650 s" in scenes


def test_every_check_is_tried() -> None:
    assert len(CHECKS) == len(set(CHECKS)) == 19
