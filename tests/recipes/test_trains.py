"""Every recipe plans, trains two steps, is read back, and predicts the structures that it names, through the whole program.

Frames, channels and working size are those of a test; everything else is the recipe's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ercpseg.documents.comparison import Comparison
from ercpseg.inference.predictor import Predictor
from ercpseg.pipeline.compare import CompareOptions, compare
from ercpseg.planner.recipes import load_recipe
from ercpseg.storage.resources import resource_names
from ercpseg.storage.workspace import Workspace

SMALL = {
    "preparation.working_long_side_px": 64,
    "network.features": [4, 4, 6, 6, 8],
    "patch.batch_size": 2,
    "schedule.epochs": 1,
    "schedule.iterations_per_epoch": 2,
    "schedule.validation_iterations": 1,
    "schedule.time_budget_s": None,
}
NAMES = ("auto", *(name for name in resource_names("plans") if name != "auto"))


@pytest.fixture(scope="module")
def compared(_planned: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Comparison]:
    """All recipes, trained on ``tiny`` by one call."""
    root = tmp_path_factory.mktemp("recipes") / "w"
    shutil.copytree(_planned, root)
    space = Workspace(root)
    options = CompareOptions(recipes=NAMES, time_budget_s=1, device="cpu", overrides=tuple(SMALL.items()))
    return space, compare("tiny", workspace=space, options=options).comparison


@pytest.mark.parametrize("name", NAMES)
def test_it_trains_predicts_and_is_read_back(compared: tuple[Workspace, Comparison], name: str) -> None:
    space, comparison = compared
    candidate = next(c for c in comparison.candidates if c.recipe == name)
    run = candidate.runs[0]
    assert (run.epochs, run.iterations) == (1, 2)
    model = space.root / run.folder / "model"
    predictor = Predictor.load(model, device="cpu")
    pins = load_recipe(name).pins
    wanted = tuple(pins.get("heads.structures", ("endoscope", "guidewire", "cbd", "stone")))
    assert tuple(predictor.structures) == wanted
    assert predictor.plan.values.network.name == pins.get("network.name", predictor.plan.values.network.name)
    frame = np.random.default_rng(0).integers(0, 255, (96, 80), np.uint8)
    prediction = predictor.predict(frame)
    assert set(prediction.masks) == set(wanted)
    assert all(mask.shape == (96, 80) for mask in prediction.masks.values())
    assert np.array_equal(prediction.bitmask, Predictor.load(space.root / run.folder / "model").predict(frame).bitmask)
    bits = sum(1 << ("endoscope", "guidewire", "cbd", "stone").index(structure) for structure in wanted)
    assert not (prediction.bitmask & ~np.uint8(bits)).any()


def test_a_recipe_is_judged_by_what_it_learns(compared: tuple[Workspace, Comparison]) -> None:
    """No figure for a structure that it leaves out, and none over all of them: it cannot win those."""
    _, comparison = compared
    rows = {(row.recipe, row.name): row for row in comparison.rows}
    assert rows["fra-net", "guidewire"].frames == rows["auto", "guidewire"].frames
    assert rows["fra-net", "endoscope"].value is None
    assert rows["fra-net", "overall"].value is None
    assert rows["nnunet", "overall"].value is not None
    assert comparison.winners["overall"].recipe in ("auto", "nnunet", "nnunet-resenc-m", "light", "unet", "realtime")
