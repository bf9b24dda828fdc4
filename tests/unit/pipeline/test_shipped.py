"""Weights that come with the package: whole, honest about what they are, and of use without a training."""

from __future__ import annotations

import numpy as np
import pytest

from ercpseg.errors import UsageError
from ercpseg.pipeline import apply
from ercpseg.pipeline.apply import DEFAULT_MODEL, default_model, locate_model, predict
from ercpseg.storage.images import read_png, write_png
from ercpseg.storage.models import load_model
from ercpseg.storage.resources import shipped_models
from ercpseg.storage.workspace import Workspace
from ercpseg.structures import DEFAULT_STRUCTURES
from ercpseg.synthesis.catalogue import find_domain
from ercpseg.synthesis.studio import open_studio

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
