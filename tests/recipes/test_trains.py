"""Every recipe plans, trains two steps, is read back, and predicts the structures that it names, through the whole program.

Frames, channels and working size are those of a test; everything else is the recipe's.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ercpseg.documents.comparison import Comparison
from ercpseg.documents.run import RunRecord
from ercpseg.inference.predictor import Predictor
from ercpseg.pipeline.compare import CompareOptions, compare
from ercpseg.planner.recipes import load_recipe
from ercpseg.storage import documents
from ercpseg.storage.models import load_model
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
    "transfer.synthetic_frames": 6,
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


def test_a_recipe_may_learn_on_synthetic_frames_first(compared: tuple[Workspace, Comparison]) -> None:
    """The chain of Gherardini 2020: the model of synthetic frames is made, kept, and only the deepest layers go on."""
    space, comparison = compared
    run = next(c for c in comparison.candidates if c.recipe == "light-unet-synthetic-transfer").runs[0]
    record = documents.load(next((space.root / run.folder).rglob("fold_0/run.json")), RunRecord)
    (kept,) = (space.root / "pretraining").iterdir()
    source = load_model(kept / "models" / "synthetic")
    assert record.transfer is not None
    assert (record.transfer.model, record.transfer.fold) == ("synthetic", "all")
    assert record.transfer.model_sha256 == source.sha256
    assert (record.transfer.kept, record.transfer.fresh) == (("guidewire",), ())
    assert (record.transfer.scheme, record.transfer.layers_trained) == ("deepest", 3)
    ours = load_model(space.root / run.folder / "model").weights["0"]
    theirs = source.weights["all"]
    same = [name for name in ours if np.array_equal(ours[name], theirs[name])]
    assert 0 < len(ours) - len(same) <= 3 * 7  # weight and bias, and five numbers of a norm


def test_a_recipe_is_judged_by_what_it_learns(compared: tuple[Workspace, Comparison]) -> None:
    """No figure for a structure that it leaves out, and none over all of them: it cannot win those."""
    _, comparison = compared
    rows = {(row.recipe, row.name): row for row in comparison.rows}
    assert rows["fra-net", "guidewire"].frames == rows["auto", "guidewire"].frames
    assert rows["fra-net", "endoscope"].value is None
    assert rows["fra-net", "overall"].value is None
    assert rows["nnunet", "overall"].value is not None
    assert comparison.winners["overall"].recipe in ("auto", "nnunet", "nnunet-resenc-m", "light", "unet", "realtime")
