"""``train --init-from``: what is taken over, what is said of it, and going on after a stop."""

from __future__ import annotations

import signal

import numpy as np
import pytest

from ercpseg.documents.run import ModelCard, RunRecord
from ercpseg.storage import documents
from ercpseg.storage.arrays import load_arrays
from ercpseg.storage.models import load_model
from ercpseg.training.run import run_folder
from tests.unit.cli.test_learn import same, signal_at


def fold_weights(space, fold: str) -> dict[str, np.ndarray]:
    return load_arrays(run_folder(space, "tiny", fold) / "weights.safetensors")[0]


@pytest.fixture
def frozen(trained, tiny_folder, tmp_path):
    """A workspace that plans ``tiny`` so that only the deepest layer goes on learning."""
    from ercpseg.pipeline.prepare import PlanOptions, plan
    from ercpseg.storage.workspace import Workspace
    from tests.conftest import TINY

    more = (
        ("schedule.time_budget_s", None),
        ("schedule.epochs", 2),
        ("transfer.layers", 1),
        ("transfer.scheme", "deepest"),
    )
    space = Workspace(tmp_path / "frozen")
    plan(tiny_folder, workspace=space, options=PlanOptions(time_budget_s=2, device="cpu", overrides=(*TINY, *more)))
    return space


def test_only_what_the_plan_says_changes(command, frozen, trained) -> None:
    model = trained.model_folder("tiny")
    ended = command("train", "tiny", 0, "--init-from", model, workspace=frozen)
    assert ended.code == 0
    assert "begins from tiny (fold 0): " in ended.out
    assert "1 of " in ended.out
    assert "(deepest)" in ended.out
    assert "frames of this very dataset" in ended.out + ended.err
    before, after = load_model(model).weights["0"], fold_weights(frozen, "0")
    changed = {name.rpartition(".")[0] for name in before if not np.array_equal(before[name], after[name])}
    levels = {name.split(".")[1] for name in before if name.startswith("encoder.")}
    deepest = f"encoder.{max(map(int, levels))}.0.first"  # of the residual block at the bottleneck
    assert changed == {f"{deepest}.0", f"{deepest}.1"}
    record = documents.load(run_folder(frozen, "tiny", "0") / "run.json", RunRecord)
    assert record.transfer is not None
    assert record.transfer.fresh == ()
    assert record.transfer.model_sha256 == load_model(model).sha256
    assert record.transfer.parameters_trained == sum(
        before[name].size for name in before if name in after_deepest(before, deepest)
    )
    card = documents.load(frozen.model_folder("tiny") / "model.json", ModelCard)
    assert card.folds[0].began_from == record.transfer.model_sha256
    again = command.succeeds("train", "tiny", 0, "--init-from", model, workspace=frozen)
    assert "trained already" in again
    own = command.fails(2, "train", "tiny", 0, "--init-from", "tiny", workspace=frozen)
    assert "began from another model, tiny" in own


def after_deepest(arrays: dict[str, np.ndarray], prefix: str) -> set[str]:
    learnt = (f"{prefix}.0.weight", f"{prefix}.0.bias", f"{prefix}.1.weight", f"{prefix}.1.bias")
    return {name for name in arrays if name in learnt}


def test_a_stopped_one_goes_on_to_the_same_weights(command, workspace, finished, monkeypatch, tmp_path) -> None:
    model = finished.model_folder("tiny")
    with monkeypatch.context() as patch:
        signal_at(patch, 2, signal.SIGINT)
        command.fails(75, "train", "tiny", 1, "--init-from", model, workspace=workspace)
    command.succeeds("train", "tiny", 1, "--init-from", model, workspace=workspace)
    command.succeeds("train", "tiny", 1, "--init-from", "tiny", workspace=finished)
    assert same(fold_weights(workspace, "1"), fold_weights(finished, "1"))
    # and random weights would have come out otherwise
    first = command.succeeds("train", "tiny", 1, "--restart", workspace=finished)
    assert "begins from" not in first
    assert not same(fold_weights(workspace, "1"), fold_weights(finished, "1"))
    error = command.fails(2, "train", "tiny", 1, "--init-from", model, workspace=finished)
    assert "began from random weights" in error


def test_models_that_cannot_be_the_start(command, workspace, trained, tmp_path) -> None:
    error = command.fails(2, "train", "tiny", 0, "--init-from", "nothing", workspace=workspace)
    assert "there is no model 'nothing' (at --init-from)" in error
    (tmp_path / "empty").mkdir()
    assert "this is no model" in command.fails(
        2, "train", "tiny", 0, "--init-from", tmp_path / "empty", workspace=workspace
    )
    assert not run_folder(workspace, "tiny", "0").exists()


def test_an_interrupted_run_keeps_its_start(command, workspace, trained, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        signal_at(patch, 2, signal.SIGINT)
        command.fails(75, "train", "tiny", 0, workspace=workspace)
    error = command.fails(2, "train", "tiny", 0, "--init-from", trained.model_folder("tiny"), workspace=workspace)
    assert "the interrupted run began from random weights (at --init-from)" in error
