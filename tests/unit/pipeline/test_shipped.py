"""Weights that come with the package: whole, honest about what they are, and of use without a training."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from ercpseg.documents.run import ModelCard
from ercpseg.errors import UsageError
from ercpseg.pipeline import apply
from ercpseg.pipeline.apply import DEFAULT_MODEL, default_model, locate_model, predict
from ercpseg.storage.arrays import encode_arrays
from ercpseg.storage.images import read_png, write_png
from ercpseg.storage.models import load_model, write_model
from ercpseg.storage.resources import shipped_models
from ercpseg.storage.workspace import Workspace
from ercpseg.structures import DEFAULT_STRUCTURES
from ercpseg.synthesis.catalogue import find_domain
from ercpseg.synthesis.studio import open_studio
from tests.weights import STAGES, TUNED, told, write_mean

MOST_MB = 4.0


@pytest.mark.parametrize("name", sorted(shipped_models()))
def test_shipped_weights_are_whole_small_and_say_what_they_are(name: str) -> None:
    folder = shipped_models()[name]
    card = load_model(folder).card  # verifies every SHA-256
    assert card.name == name
    assert card.structures == DEFAULT_STRUCTURES
    assert "synthetic" in card.training_data
    assert "seed" in card.training_data
    assert "not for diagnosis" in card.intended_use
    assert card.limits
    assert sum(path.stat().st_size for path in folder.iterdir()) < MOST_MB * 1e6


def test_without_a_model_the_shipped_one_predicts_and_finds_an_endoscope(tmp_path) -> None:
    frame = open_studio(find_domain("round-field"), seed=987, number=5, height_px=512).frame(0)
    write_png(tmp_path / "in" / "a.png", frame.eight_bits)
    predict(tmp_path / "in", tmp_path / "out", workspace=tmp_path / "none")
    found = read_png(tmp_path / "out" / "masks" / "endoscope" / "a.png") > 0
    true = frame.masks["endoscope"]
    assert 2 * np.count_nonzero(found & true) > 0.9 * (np.count_nonzero(found) + np.count_nonzero(true))


def test_a_trained_dataset_of_that_name_is_not_the_default(trained: Workspace, monkeypatch) -> None:
    monkeypatch.setattr(apply, "DEFAULT_MODEL", "tiny")
    with pytest.raises(UsageError, match="came without its weights 'tiny'"):
        default_model()
    assert locate_model("tiny", trained) == trained.model_folder("tiny")


def test_shipped_weights_go_by_their_name(tmp_path) -> None:
    assert DEFAULT_MODEL in shipped_models()
    for name, folder in shipped_models().items():
        assert locate_model(name, Workspace(tmp_path)) == folder


def test_the_mean_of_models_weighs_what_is_named_more_often(tmp_path) -> None:
    """What ships is such a mean: plan and card of the last one, hashes of its own, readable as any model."""
    light = load_model(shipped_models()["light"])
    fold = light.card.folds[0].fold
    half = tmp_path / "half"
    (entry,) = light.card.folds
    zero = {name: np.zeros_like(a) if a.dtype.kind == "f" else a for name, a in light.weights[fold].items()}
    data = encode_arrays(zero, {"fold": fold})
    card = light.card.model_dump(by_alias=True)
    card["folds"] = [entry.model_dump() | {"sha256": hashlib.sha256(data).hexdigest()}]
    write_model(half, light.plan, ModelCard.model_validate(card), {entry.file: data})
    made = write_mean([half, *[shipped_models()["light"]] * 3], tmp_path / "mean", {"name": "mine"})
    found = load_model(made)
    assert found.card.name == "mine"
    assert found.plan == light.plan
    for name, array in light.weights[fold].items():
        expected = 0.75 * array if array.dtype.kind == "f" else array
        np.testing.assert_allclose(found.weights[fold][name], expected, rtol=2e-3, atol=1e-6)


def test_the_cards_name_the_stages_that_the_command_trains() -> None:
    """What ships, and what the command would write into the card."""
    for name, stages in STAGES.items():
        model = load_model(shipped_models()[name])
        for text in (model.card.training_data, told(name)):
            for stage in stages:
                assert f"seed {stage.seed}" in text
            assert f"{50 * stages[-1].epochs:,} steps" in text
            if stages[-1].wide_epochs:
                assert f"{50 * stages[-1].wide_epochs:,}" in text
            assert text.endswith(f"python -m tests.weights {name} makes the like)")
        tuned = model.plan.decision("postprocess.steps")
        assert all(f"{structure}: " in tuned.because for structure in TUNED)
        untouched = DEFAULT_STRUCTURES[0], DEFAULT_STRUCTURES[1]
        assert not any(f"{structure}: " in tuned.because for structure in untouched)


def test_the_figures_on_real_frames_are_of_these_weights() -> None:
    text = (Path(__file__).parents[3] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    for section, names in (("zero-shot", list(shipped_models())), ("few-shot", [DEFAULT_MODEL])):
        told = text.partition(f"<!-- begin {section} -->")[2].partition(f"<!-- end {section} -->")[0]
        for name in names:
            assert f"`{name}` ({load_model(shipped_models()[name]).sha256[:12]})" in told
