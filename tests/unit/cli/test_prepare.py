"""``plan-and-preprocess``."""

from __future__ import annotations

import json

import pytest

from ercpseg.storage import documents
from tests.conftest import TINY
from tests.unit.cli.command import leftovers, snapshot

AS_PLANNED = [
    *("--time-budget", "2s", "--device", "cpu", "--set", "schedule.time_budget_s=null", "--set", "schedule.epochs=2"),
    *(word for key, value in TINY for word in ("--set", f"{key}={value}")),
]
"""The options that the fixture ``workspace`` was planned with."""


def test_plan_explains_itself_and_a_second_time_changes_nothing(command, tiny_folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ERCPSEG_WORKSPACE", str(tmp_path / "w"))
    monkeypatch.chdir(tmp_path)
    words = ("plan-and-preprocess", tiny_folder, "--name", "small-1", *AS_PLANNED)
    out = command.succeeds(*words)
    folder = tmp_path / "w" / "datasets" / "small-1"
    for text in ("decision", "value", "rule", "because", "patch.batch_size", "pin (user)", "6 patients"):
        assert text in out
    assert "small-1: 18 found = 18 used + 0 refused + 0 ignored" in out
    assert out.endswith("next: ercpseg train small-1 0\n")
    for file in ("plan.md", "plan.json", "fingerprint.json", "frames.csv"):
        assert f"wrote {folder / file}\n" in out
        assert (folder / file).is_file()
    decision = json.loads((folder / "plan.json").read_text())["decisions"][0]
    assert {"key", "value", "rule", "because", "source"} <= set(decision)
    before = snapshot(tmp_path / "w")
    again = command.succeeds(*words)
    assert "is planned and prepared already; nothing to do" in again
    assert command.succeeds("plan-and-preprocess", "small-1", *AS_PLANNED) == again
    assert snapshot(tmp_path / "w") == before
    assert leftovers(tmp_path) == []
    assert not (tmp_path / "ercpseg-workspace").exists()


def test_a_few_shot_plan_is_told_in_one_line_with_what_comes_next(command, workspace) -> None:
    """18 frames of 96 px are too small for the shipped weights; a person may plan for them all the same."""
    words = [*AS_PLANNED, "--set", "preparation.working_long_side_px=96", "--set", "transfer.made_for=light"]
    out = command.succeeds("plan-and-preprocess", "tiny", *words, workspace=workspace)
    text = "planned to begin from the shipped weights light; no synthetic frames are mixed in"
    assert [line for line in out.splitlines() if line.startswith("few-shot:")] == [f"few-shot: {text}"]
    assert out.endswith("next: ercpseg train tiny all --init-from light\n")
    plan = (workspace.root / "datasets" / "tiny" / "plan.md").read_text()
    assert "`ercpseg train tiny all --init-from light`" in plan
    assert "--init-from light begins with them" in command("train", "tiny", 0, "--epochs", 1, workspace=workspace).err


def test_the_library_and_the_command_line_ask_the_same_question(command, workspace, tiny_folder) -> None:
    """The fixture planned with ``PlanOptions``; the command finds that done."""
    before = snapshot(workspace.root)
    assert "nothing to do" in command.succeeds("plan-and-preprocess", tiny_folder, *AS_PLANNED, workspace=workspace)
    assert snapshot(workspace.root) == before


def test_a_name_of_the_workspace_needs_no_folder_and_other_options_plan_anew(command, workspace) -> None:
    before = snapshot(workspace.root)
    words = ["schedule.epochs=3" if word == "schedule.epochs=2" else word for word in AS_PLANNED]
    assert "Plan of tiny" in command.succeeds("plan-and-preprocess", "tiny", *words, workspace=workspace)
    changed = {name for name, entry in snapshot(workspace.root).items() if before.get(name) != entry}
    assert "datasets/tiny/plan.json" in changed
    assert not [name for name in changed if name.endswith(".b2nd") or "imagesTr" in name]


def test_the_default_workspace_is_in_the_current_folder_and_is_no_data(
    command, tiny_folder, tmp_path, monkeypatch
) -> None:
    import shutil

    shutil.copytree(tiny_folder, tmp_path / "data")
    monkeypatch.chdir(tmp_path / "data")
    monkeypatch.delenv("ERCPSEG_WORKSPACE", raising=False)
    assert "Plan of data" in command.succeeds("plan-and-preprocess", ".", *AS_PLANNED)
    assert (tmp_path / "data" / "ercpseg-workspace" / "datasets" / "data" / "plan.json").is_file()
    out = command.succeeds("plan-and-preprocess", ".", *AS_PLANNED)
    assert "nothing to do" in out  # the workspace below the data did not become part of them


def test_a_recipe_file_is_followed(command, workspace, tiny_folder, tmp_path) -> None:
    from ercpseg.documents.plan import Plan
    from ercpseg.planner.recipes import load_recipe

    recipe = load_recipe("auto").model_copy(update={"name": "mine", "set": {"schedule.seed": 7}})
    (tmp_path / "mine.yaml").write_text(recipe.to_json())
    command.succeeds(
        "plan-and-preprocess", tiny_folder, "--recipe", tmp_path / "mine.yaml", *AS_PLANNED, workspace=workspace
    )
    plan = documents.load(workspace.dataset_folder("tiny") / "plan.json", Plan)
    assert (plan.recipe, plan.values.schedule.seed) == ("mine", 7)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--recipe", "nope"], "no recipe called 'nope'"),
        (["--recipe", "nope.yaml"], "no recipe called 'nope.yaml'"),
        (["--device", "tpu"], "unknown device 'tpu'"),
        (["--name", "../x"], "cannot name a dataset"),
        (["--name", "a b"], "give another name with --name"),
        (["--set", "patch.batch_size=0"], "patch.batch_size"),
    ],
)
def test_options_that_make_no_sense(command, workspace, tiny_folder, words: list[str], text: str) -> None:
    before = snapshot(workspace.root)
    assert text in command.fails(2, "plan-and-preprocess", tiny_folder, *words, workspace=workspace)
    assert snapshot(workspace.root) == before


def test_a_recipe_that_is_no_recipe(command, workspace, tiny_folder, tmp_path) -> None:
    (tmp_path / "bad.yaml").write_text("name: [\n")
    error = command.fails(
        65, "plan-and-preprocess", tiny_folder, "--recipe", tmp_path / "bad.yaml", workspace=workspace
    )
    assert "no valid YAML" in error
    assert "bad.yaml" in error
