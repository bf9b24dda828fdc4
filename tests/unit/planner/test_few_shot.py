"""Few-shot plans (R12): when a plan is one, what follows from it, and that the shipped weights fit what follows."""

from __future__ import annotations

from typing import Any

import pytest

from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.documents.plan import NetworkValues, Plan, Size
from ercpseg.errors import UsageError
from ercpseg.networks import build_network
from ercpseg.networks.transfer import copy_weights
from ercpseg.planner.budget import Budget
from ercpseg.planner.explain import few_shot_command, few_shot_text, to_markdown
from ercpseg.planner.plan import make_plan
from ercpseg.planner.recipes import load_recipe
from ercpseg.planner.shipped import SHIPPED
from ercpseg.storage.models import load_model
from ercpseg.storage.resources import shipped_models
from tests.golden.planner.generate import ercp_like, fingerprint, spread, steady, structure

CPU, GPU = Budget("cpu", 8.0, threads=2), Budget("cuda", 16.0)


def few(frames: int = 16, side: int = 512, **other: Any) -> Fingerprint:
    """A handful of frames like those of the golden ERCP fingerprint."""
    like = ercp_like()
    values = {"shapes": {f"{side} x {side}": frames}, "reference_long_side_px": side, "patients": frames}
    values |= {"frames": frames, "overlap": like.overlap, "structures": like.structures}
    return fingerprint(**values | other)


def planned(f: Fingerprint, budget: Budget = CPU, forward: Any = None, **pins: Any) -> Plan:
    return make_plan(
        f,
        load_recipe("auto"),
        budget,
        steady,
        {key.replace("__", "."): value for key, value in pins.items()},
        forward=forward,
    )


def test_it_begins_below_a_hundred_frames() -> None:
    assert planned(few(99)).values.transfer.made_for == "light"
    many = planned(few(100))
    assert many.values.transfer.made_for is None
    assert "100 frames are not few" in many.decision("transfer.made_for").because
    assert many.values.sampling.synthetic_frac == 0
    assert many.values.schedule.time_budget_s == 1800


def test_frames_that_would_be_enlarged_by_more_than_a_half_do_not_count() -> None:
    """512 px are 1.5 times 341⅓ px."""
    assert planned(few(side=342)).values.transfer.made_for == "light"
    small = planned(few(side=341))
    assert small.values.transfer.made_for is None
    assert "341 px" in small.decision("transfer.made_for").because


@pytest.mark.parametrize(("budget", "time"), [(CPU, 300), (GPU, 300), (Budget("cpu", 8.0, 120.0), 120)])
def test_what_follows_from_it(budget: Budget, time: float) -> None:
    values = planned(few(), budget).values
    assert values.network.name == "light"
    assert values.network.features == SHIPPED["light"].features
    assert values.preparation.working_long_side_px == 512
    assert values.preparation.field_mask
    assert values.preparation.dataset_mean_sd is None
    assert values.schedule.time_budget_s == time
    assert (values.optimiser.name, values.optimiser.warmup_frac) == ("adamw", 0.1)
    assert (values.transfer.scheme, values.transfer.rate) == ("all", 0.25)
    assert values.augmentation.rotation_deg == 20
    assert values.augmentation.contrast == (0.65, 1.35)
    assert set(values.postprocess.threshold.values()) == {0.5}
    # ten for each of 16 frames would be 160, but four a second for a tenth of the time are 120; 48 are fewer than 60
    wanted = {300: (0.25, 120), 120: (0, 0)}[int(time)]
    assert (values.sampling.synthetic_frac, values.sampling.synthetic_frames) == wanted


def test_every_reason_says_so() -> None:
    plan = planned(few())
    keys = (
        "network.name",
        "augmentation.contrast",
        "optimiser.warmup_frac",
        "network.features",
        "postprocess.threshold",
    )
    assert all("R12" in plan.decision(key).because for key in keys)
    text = few_shot_text(plan)
    assert text is not None
    assert text.startswith("few-shot: 16 frames of 16 patients")
    assert "120 synthetic frames (any-room) are 25 % of every batch" in text
    assert few_shot_command(plan) == "ercpseg train golden all --init-from light --time-budget 5m"
    assert few_shot_command(plan) in to_markdown(plan)
    many = planned(few(500))
    assert few_shot_text(many) is None
    assert "few-shot:" not in to_markdown(many).lower().split("## decisions")[0]


def test_large_frames_come_down_to_the_size_of_the_weights_unless_a_wire_is_lost() -> None:
    wide = {"guidewire": structure(0.002, spread(6.8, 6.0), 560.0, 1500.0, device=True)}
    thin = {"guidewire": structure(0.001, spread(3.4, 3.0), 560.0, 1500.0, device=True)}
    sizes = {"shapes": {"1024 x 1024": 20}, "reference_long_side_px": 1024, "frames": 20, "patients": 20}
    assert planned(fingerprint(wide, **sizes)).values.preparation.working_long_side_px == 512
    kept = planned(fingerprint(thin, **sizes)).values
    assert kept.preparation.working_long_side_px >= 683  # 2 px of 3 px
    assert kept.network.features == SHIPPED["light"].features


def test_a_structure_that_the_scene_does_not_draw_is_never_taught_as_absent() -> None:
    soft = structure(0.06, spread(60.0, 40.0), 420.0, 12000.0)
    some = planned(few(structures=few().structures | {"gallbladder": soft}, overlap={}))
    assert some.values.transfer.made_for == "light"
    assert (some.values.sampling.synthetic_frac, some.values.sampling.synthetic_frames) == (0, 0)
    assert "gallbladder" in some.decision("sampling.synthetic_frac").because
    none = planned(fingerprint({"gallbladder": soft}, frames=16))
    assert none.values.transfer.made_for is None
    assert "none of the structures" in none.decision("transfer.made_for").because


def test_making_the_frames_may_not_take_the_time_there_is() -> None:
    """Two minutes: four a second for twelve seconds are fewer than 60; ten minutes are time for ten of each."""
    assert planned(few(), Budget("cpu", 8.0, 600.0)).values.sampling.synthetic_frames == 160
    plan = planned(few(), Budget("cpu", 8.0, 120.0))
    assert plan.values.sampling.synthetic_frames == 0
    assert plan.values.sampling.synthetic_frac == 0
    assert "48" in plan.decision("sampling.synthetic_frac").because


def test_weights_follow_a_pinned_network_and_the_latency() -> None:
    assert planned(few(), network__name="realtime").values.transfer.made_for == "realtime"
    assert planned(few(), network__name="unet").values.transfer.made_for is None
    several = planned(few(), input__frames=2)  # the shipped weights take one frame: none of them would fit
    assert several.values.transfer.made_for is None
    assert "no weights of any network for 2 frames at a time" in several.decision("transfer.made_for").because

    def forward(network: NetworkValues, tile: Size, heads: int, frames: int) -> float:
        return {"light": 60.0, "realtime": 12.0}[network.name]

    fast = planned(few(), Budget("cpu", 8.0, latency_ms=33.0), forward)
    assert (fast.values.transfer.made_for, fast.values.network.name) == ("realtime", "realtime")
    slow = planned(few(), Budget("cpu", 8.0, latency_ms=100.0), forward)
    assert (slow.values.transfer.made_for, slow.values.network.name) == ("light", "light")


def test_a_person_may_decide_otherwise() -> None:
    off = planned(few(), transfer__made_for=None).values
    assert (off.sampling.synthetic_frac, off.transfer.rate, off.schedule.time_budget_s) == (0, 0.1, 1800)
    on = planned(few(300, patients=40), transfer__made_for="light")
    assert on.values.network.features == SHIPPED["light"].features
    assert on.values.sampling.synthetic_frac == 0.25
    text = few_shot_text(on)
    assert text is not None
    assert "planned to begin from the shipped weights light" in text
    with pytest.raises(UsageError, match=r"transfer\.made_for"):
        planned(few(), transfer__made_for="unet")


@pytest.mark.parametrize("name", list(SHIPPED))
def test_the_shipped_weights_fit(name: str) -> None:
    """The table is what the weights are, and a plan made for them takes over every tensor and every output."""
    model = load_model(shipped_models()[name])
    theirs = model.planned.values
    assert SHIPPED[name].features == theirs.network.features
    assert SHIPPED[name].long_side_px == theirs.preparation.working_long_side_px
    assert set(SHIPPED[name].structures) == set(theirs.heads.structures)
    made = planned(few(), network__name=name)
    ours = made.values
    assert (ours.network.name, ours.network.options) == (name, theirs.network.options)
    for key in ("clip_percentiles", "field_mask", "dataset_mean_sd", "invert", "median_px", "equalise", "sharpen"):
        assert getattr(ours.preparation, key) == getattr(theirs.preparation, key)
    source = build_network(theirs.network, list(model.planned.heads))
    target = build_network(ours.network, list(made.heads))
    copied = copy_weights(source, list(model.planned.heads), target, list(made.heads), where="test")
    assert copied.fresh == ()
    assert copied.kept == tuple(made.heads)


def test_every_shipped_model_is_in_the_table() -> None:
    assert set(SHIPPED) == set(shipped_models())
