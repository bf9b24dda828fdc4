"""From logits to masks: levels say what probabilities say, and steps that look at them are run by prediction too."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ercpseg.documents.plan import PostprocessStep
from ercpseg.documents.serving import serving_of
from ercpseg.frames.prepare import Geometry
from ercpseg.frames.restore import logit
from ercpseg.postprocess.finish import _levels, at_native_size, finish, native_levels, scaled
from ercpseg.postprocess.scene import above
from tests.unit.core.plans import tiny_plan


@pytest.mark.parametrize("threshold", [i * 0.05 for i in range(1, 20)])
def test_levels_decide_as_logits_do(threshold: float) -> None:
    logits = torch.randn((3, 24, 32), generator=torch.Generator().manual_seed(1)) * 3
    logits[0, 0, :2] = torch.tensor([-40.0, 40.0])
    thresholds = {"endoscope": threshold, "guidewire": 0.3 * threshold}
    plan = serving_of(tiny_plan(postprocess__threshold=thresholds))
    for geometry in (Geometry((24, 32), (24, 32)), Geometry((36, 48), (24, 32)), Geometry((12, 16), (24, 32))):
        bitmask = finish(logits, geometry, plan)
        levels = native_levels(logits, geometry, plan)
        assert levels.shape == (2, *geometry.native)
        assert (above(levels[0], threshold) == (bitmask & 1 > 0)).all()
        assert (above(levels[1], 0.3 * threshold) == (bitmask & 2 > 0)).all()


def test_prediction_runs_steps_that_look_at_probabilities() -> None:
    logits = torch.full((3, 16, 32), -9.0)
    logits[1, 8, 4:12] = 3.0  # 0.95
    logits[1, 8, 12:20] = -1.0  # 0.27
    plain, geometry = serving_of(tiny_plan()), Geometry((16, 32), (16, 32))
    assert np.count_nonzero(finish(logits, geometry, plain)) == 8
    steps = {"endoscope": [], "guidewire": [{"name": "hysteresis", "params": {"low_frac": 0.3}}]}
    grown = finish(logits, geometry, serving_of(tiny_plan(postprocess__steps=steps)))
    assert (grown[8, 4:20] == 2).all()
    assert np.count_nonzero(grown) == 16


def test_lengths_of_steps_follow_the_frame() -> None:
    step = PostprocessStep(name="keep_inside", params={"margin_px": 4, "min_inside_frac": 0.5}, of="cbd")
    twice = at_native_size((step,), Geometry((128, 128), (64, 64)))[0]
    assert (twice.name, twice.of, twice.params) == ("keep_inside", "cbd", {"margin_px": 8, "min_inside_frac": 0.5})
    kernel = PostprocessStep(name="open_close", params={"opening_px": 3, "closing_px": 9})
    assert scaled(kernel, 0.25).params == {"opening_px": 1, "closing_px": 2.25}  # one pixel is the least that is one


def test_a_long_frame_is_no_error_of_the_plan() -> None:
    """7000 pixels are 137 times the working size of 51: a radius of 1 would be 137, and steps take at most 64."""
    long = Geometry((20, 7000), (1, 51))
    steps = {
        "endoscope": [{"name": "thin_back", "params": {"radius_px": 1}}],
        "guidewire": [{"name": "open_close", "params": {"opening_px": 3, "closing_px": 3}}],
    }
    serving = serving_of(tiny_plan(postprocess__steps=steps))
    assert at_native_size(serving.postprocess.steps["endoscope"], long)[0].params == {"radius_px": 64}
    assert finish(torch.full((3, 1, 512), 3.0), long, serving).shape == (20, 7000)
    wrong = PostprocessStep(name="thin_back", params={"radius_px": 65})
    assert scaled(wrong, 2).params == {"radius_px": 130}  # a plan that says too much is still told so


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_levels_and_masks_agree_to_the_last_bit(kind) -> None:
    """A pixel next to a threshold is on the same side of it for tuning as for prediction."""
    thresholds = [0.05, 0.1, 0.3, 0.55, 0.95]
    cuts = np.array([logit(t) for t in thresholds], np.float32)
    near = np.stack([np.nextafter(cuts, np.float32(-99)), cuts, np.nextafter(cuts, np.float32(99))])
    levels = _levels(kind(near))
    for column, threshold in enumerate(thresholds):
        assert above(levels[:, column], threshold).tolist() == [False, False, True], threshold
    ends = _levels(kind(np.array([-30.0, 0.0, 30.0], np.float32)))
    assert ends.tolist() == [1, 100, 200]
