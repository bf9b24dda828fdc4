"""A candidate's workspace: what is its own, and what is the dataset's."""

from __future__ import annotations

from pathlib import Path

import pytest

from ercpseg.errors import UsageError
from ercpseg.storage.candidates import CandidateWorkspace, comparison_folder
from ercpseg.storage.workspace import Workspace


def test_frames_are_shared_and_plan_runs_and_model_are_not(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    space.register("x")
    own = CandidateWorkspace(space, "x", "light-1-0a1b2c3d")
    home = tmp_path / "compare" / "x" / "light-1-0a1b2c3d"
    assert comparison_folder(space, "x") == home.parent
    assert own.raw_folder("x") == space.raw_folder("x")
    assert own.preprocessed_folder("x") == space.preprocessed_folder("x")
    places = (own.dataset_folder("x"), own.model_folder("x"), own.results_folder("x"), own.nnunet_plans_file("x"))
    assert all(place.is_relative_to(home) for place in places)
    assert own.results_folder("x") == home / "results" / "Dataset001_x"
    assert space.nnunet_plans_file("x") == space.preprocessed_folder("x") / "ErcpPlans.json"
    assert not home.exists()


def test_nnunet_writes_the_runs_of_a_candidate_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("nnUNet_results", "elsewhere")
    space = Workspace(tmp_path)
    with CandidateWorkspace(space, "x", "light-1").nnunet_environment():
        inside = dict(os.environ)
    assert inside["nnUNet_results"] == str(tmp_path / "compare" / "x" / "light-1" / "results")
    assert inside["nnUNet_preprocessed"] == str(tmp_path / "nnunet" / "preprocessed")
    assert dict(os.environ)["nnUNet_results"] == "elsewhere"


@pytest.mark.parametrize("name", ["../x", "", "a/b", ".hidden"])
def test_no_name_leads_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        CandidateWorkspace(Workspace(tmp_path), "x", name)
    with pytest.raises(UsageError):
        CandidateWorkspace(Workspace(tmp_path), name, "light-1")
