"""What a person may call a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from ercpseg.errors import UsageError
from ercpseg.pipeline.apply import locate_model
from ercpseg.storage.resources import shipped_models
from ercpseg.storage.workspace import Workspace


def test_a_model_is_a_folder_a_file_or_a_name(trained, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = trained.model_folder("tiny")
    assert locate_model("tiny", trained) == model
    assert locate_model(model, trained) == model
    Path("some.zip").write_bytes(b"x")
    assert locate_model("some.zip", trained) == Path("some.zip")


def test_a_folder_of_the_dataset_s_name_is_not_meant_unless_it_is_a_model(trained, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny").mkdir()
    assert locate_model("tiny", trained) == trained.model_folder("tiny")
    Path("tiny/model.json").write_text("{}")
    assert locate_model("tiny", trained) == Path("tiny")


def test_a_folder_of_a_shipped_model_s_name_is_not_meant_either(trained, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("light").mkdir()
    assert locate_model("light", trained) == shipped_models()["light"]


@pytest.mark.parametrize("name", ["nope", "", "a\0b", "../tiny"])
def test_no_model(trained, tmp_path, monkeypatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="its zip, or one of: tiny"):
        locate_model(name, trained)
    with pytest.raises(UsageError, match="or one of: light"):
        locate_model(name, Workspace(tmp_path / "other"))


def test_a_planned_dataset_without_a_trained_fold_is_no_model(workspace) -> None:
    with pytest.raises(UsageError, match="there is no model 'tiny'"):
        locate_model("tiny", workspace)
