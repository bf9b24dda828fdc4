"""``compare --recipes RECIPE@MODEL``: candidates that begin from a model beside those that do not."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from ercpseg.documents.comparison import Comparison
from ercpseg.documents.run import RunRecord
from ercpseg.errors import UsageError
from ercpseg.pipeline.entries import read_entries, split_start
from ercpseg.storage import documents
from ercpseg.storage.models import load_model
from ercpseg.training import run as training
from tests.unit.cli.command import snapshot
from tests.unit.cli.test_compare import QUICK


def test_the_same_recipe_with_and_without_a_model(command, finished, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("ercpseg.training.cost.measure_step", lambda *_, **__: (0.05, 0.1))  # measuring takes seconds
    model = tmp_path / "mine"
    shutil.copytree(finished.model_folder("tiny"), model)
    words = ["compare", "tiny", "--recipes", f"auto,auto@{model}", *QUICK]
    out = command.succeeds(*words, workspace=finished)
    found = documents.load(finished.root / "compare" / "tiny" / "compare.json", Comparison)
    assert [(c.recipe, c.given, c.init_from) for c in found.candidates] == [
        ("auto", "auto", None),
        ("auto@mine", "auto", "mine"),
    ]
    assert found.study.startswith("auto-")
    assert [c.same_as for c in found.candidates] == [None, None]  # equal plans, but another beginning
    records = [
        documents.load(next((finished.root / c.runs[0].folder).rglob("run.json")), RunRecord) for c in found.candidates
    ]
    assert records[0].transfer is None
    began = records[1].transfer
    assert began is not None
    assert (began.model_sha256, found.candidates[1].init_from_sha256) == (load_model(model).sha256,) * 2
    warned = "\n".join(found.warnings)
    assert "auto@mine begins from a model, whose own training is not in its time." in warned
    assert "auto@mine: the model was trained on frames of this very dataset" in warned
    assert "auto@mine" in out

    monkeypatch.setattr(training, "train_fold", lambda *_, **__: pytest.fail("trained again"))
    assert "every candidate was trained already" in command.succeeds(*words, workspace=finished)
    # By the name in the workspace it is the same model, so the same training, under its own label.
    again = command.succeeds("compare", "tiny", "--recipes", "auto,auto@tiny", *QUICK, workspace=finished)
    assert "every candidate was trained already" in again
    assert "auto@tiny" in again


@pytest.mark.parametrize(
    ("recipes", "text"),
    [
        ("auto,auto@nothing", "there is no model 'nothing'"),
        ("auto,auto@", "there is no model ''"),
        ("auto@tiny,auto@tiny", "two or more, each once"),
        ("auto,nope@tiny", "no recipe called 'nope'"),
    ],
)
def test_what_makes_no_sense_is_refused(command, finished, recipes: str, text: str) -> None:
    before = snapshot(finished.root)
    assert text in command.fails(2, "compare", "tiny", "--recipes", recipes, *QUICK, workspace=finished)
    assert snapshot(finished.root) == before


def test_a_model_that_does_not_fit_is_refused_before_anything_is_trained(command, finished, monkeypatch) -> None:
    monkeypatch.setattr("ercpseg.training.cost.measure_step", lambda *_, **__: (0.05, 0.1))
    monkeypatch.setattr(training, "train_fold", lambda *_, **__: pytest.fail("trained"))
    error = command.fails(2, "compare", "tiny", "--recipes", "auto,light@tiny", *QUICK, workspace=finished)
    assert "--recipes light@tiny" in error
    assert "network is realtime, the plan's light" in error


def test_the_first_at_divides_and_a_file_has_none(tmp_path, monkeypatch, finished) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me@home.yaml").write_text("")
    assert split_start("me@home.yaml") == ("me@home.yaml", None)
    assert split_start("auto@a@b") == ("auto", "a@b")
    entries = read_entries(["light-unet-synthetic-transfer:layers-*@tiny", "auto"], finished)
    assert [entry.name for entry in entries] == [
        "light-unet-synthetic-transfer:layers-7@tiny",
        "light-unet-synthetic-transfer:layers-13@tiny",
        "light-unet-synthetic-transfer:layers-19@tiny",
        "auto",
    ]
    odd = tmp_path / "what a name"
    shutil.copytree(finished.model_folder("tiny"), odd)
    name = read_entries([f"auto@{odd}", "auto"], finished)[0].name
    assert name == f"auto@model-{load_model(odd).sha256[:8]}"
    with pytest.raises(UsageError, match="cannot be compared"):
        read_entries([], finished)


def test_models_of_one_name_are_told_apart_and_a_dot_is_part_of_a_name(tmp_path, finished) -> None:
    folders = [tmp_path / where for where in ("a/model", "b/model")]
    for folder in folders:
        shutil.copytree(finished.model_folder("tiny"), folder)
    card, sums = folders[1] / "model.json", folders[1] / "SHA256SUMS"  # another model: its card says something else
    before = hashlib.sha256(card.read_bytes()).hexdigest()
    card.write_text(card.read_text().replace("Research on", "Tests of"))
    sums.write_text(sums.read_text().replace(before, hashlib.sha256(card.read_bytes()).hexdigest()))
    hashes = [load_model(folder).sha256[:8] for folder in folders]
    entries = read_entries([f"auto@{folder}" for folder in folders], finished)
    assert [e.name for e in entries] == [f"auto@model-{digest}" for digest in hashes]
    assert [e.start.given for e in entries if e.start] == [str(folder) for folder in folders]
    dotted = Path(shutil.copytree(folders[0], tmp_path / "model-v1.0"))
    assert read_entries([f"auto@{dotted}", "auto"], finished)[0].name == f"auto@model-{hashes[0]}"
