"""``train --encoder-weights``: FRA-Net's encoder begins from a file on this machine."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from ercpseg.documents.run import RunRecord
from ercpseg.errors import StorageError, UsageError
from ercpseg.networks.encoders import timm_model
from ercpseg.pipeline.learn import train
from ercpseg.pipeline.prepare import PlanOptions, plan
from ercpseg.storage import documents
from ercpseg.storage.models import load_model
from ercpseg.storage.workspace import Workspace
from ercpseg.training.run import TrainOptions

PINS = {
    "preparation.working_long_side_px": 64,
    "network.features": [4, 4, 4, 4, 8],
    "network.options": {"encoder": "resnet34", "steps": 1},
    "patch.batch_size": 2,
    "schedule.epochs": 1,
    "schedule.iterations_per_epoch": 1,
    "schedule.validation_iterations": 1,
    "schedule.time_budget_s": None,
    "optimiser.learning_rate": 1e-9,
    "optimiser.weight_decay": 0.0,
}


@pytest.fixture(scope="module")
def space(_planned: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("encoder") / "w"
    shutil.copytree(_planned, root)
    made = Workspace(root)
    options = PlanOptions(recipe="fra-net", device="cpu", overrides=tuple(PINS.items()))
    plan("tiny", workspace=made, options=options)
    return made


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet34.safetensors"
    torch.manual_seed(3)
    save_file({key: value.contiguous() for key, value in timm_model("resnet34").state_dict().items()}, path)
    return path


def test_the_encoder_begins_from_the_file_and_the_record_says_so(space: Workspace, weights: Path) -> None:
    trained = train("tiny", 0, encoder_weights=weights, workspace=space)
    wanted = hashlib.sha256(weights.read_bytes()).hexdigest()
    record = documents.load(trained.folder / "run.json", RunRecord)
    assert record.encoder_sha256 == wanted
    ours, given = load_model(trained.model).weights["0"], load_file(weights)
    name = "layer1.0.conv1.weight"
    (mine,) = [value for key, value in ours.items() if key.endswith(name)]
    assert torch.allclose(torch.from_numpy(mine.copy()), given[name], atol=1e-6)
    # The same again does nothing; another file is refused, not trained over.
    assert not train("tiny", 0, encoder_weights=weights, workspace=space).fresh
    other = weights.with_name("other.safetensors")
    save_file({key: value + 1 for key, value in given.items()}, other)
    with pytest.raises(UsageError, match="began otherwise"):
        train("tiny", 0, encoder_weights=other, workspace=space)


def test_a_file_that_does_not_fit_is_refused_before_anything_is_trained(space: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "vgg11.safetensors"
    save_file({key: value.contiguous() for key, value in timm_model("vgg11").state_dict().items()}, path)
    with pytest.raises(StorageError, match="do not fit the encoder"):
        train("tiny", 1, encoder_weights=path, workspace=space, options=TrainOptions(restart=True))


def test_refusals_name_the_option(space: Workspace, weights: Path, workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="whose encoder has no weights of its own"):
        train("tiny", 0, encoder_weights=weights, workspace=workspace)
    with pytest.raises(UsageError, match="no such file"):
        train("tiny", 0, encoder_weights=weights.with_name("none.safetensors"), workspace=space)
    with pytest.raises(UsageError, match="brings its own encoder"):
        train("tiny", 0, encoder_weights=weights, init_from="light", workspace=space)
