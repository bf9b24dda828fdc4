"""``plans``: list, show, check, explain, diff."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser

import pytest

from ercpseg.documents.plan import Plan
from ercpseg.storage import documents


def test_recipes_are_listed_and_shown(command) -> None:
    assert "auto" in command.succeeds("plans")
    assert command.succeeds("plans", "list") == command.succeeds("plans")
    assert command.succeeds("plans", "show", "auto").startswith("auto: ")
    assert command.succeeds("plans", "auto") == command.succeeds("plans", "show", "auto")
    assert "expected a YAML file or one of" in command.fails(2, "plans", "show", "nope")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["show"], "show RECIPE"),
        (["list", "light"], "expected list"),
        (["diff", "a"], "diff A B"),
        (["explain", "a", "b"], "explain DATASET"),
        (["explain", "nope"], "there is no plan of 'nope'"),
        (["explain", "nope", "--format", "pdf"], "unknown format 'pdf'"),
        (["diff", "a", "b", "--format", "html"], "unknown format 'html'"),
        (["list", "--format", "json"], "unknown format 'json'"),
        (["show", "light", "--key", "patch"], "takes no --key"),
        (["nothing", "of", "it"], "cannot be done"),
    ],
)
def test_what_cannot_be_done_is_said(command, tmp_path, words: list[str], text: str) -> None:
    assert text in command.fails(2, "plans", *words, workspace=tmp_path)


@pytest.mark.parametrize(
    ("pin", "text"),
    [
        ("loss.terms: [{name: nope}]", "one of dice, jaccard"),
        ("loss.terms: [{name: focal, params: {gama: 2.0}}]", "loss.terms.focal"),
        ("loss.terms: [{name: focal, params: {gamma: 99.0}}]", "loss.terms.focal"),
        ("network.name: fra-net\n  network.options.encoder: resnet999", "network.options.encoder"),
        ("network.name: light\n  network.options: {steps: 3}", "network.options"),
        ("network.name: fra-net\n  network.features: [8, 16]", "network.features"),
        ("loss.focal_alpha.guidewire: high", "cannot be loss.focal_alpha"),
        ("postprocess.steps.guidewire: [{name: thin_bak, params: {radius_px: 1.0}}]", "postprocess.steps"),
        ("input.frames: 9", "cannot be input.frames"),
    ],
)
def test_a_recipes_mistakes_are_told_with_file_key_and_choices(command, tmp_path, pin: str, text: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"schema: ercpseg.recipe/1\nname: mine\ntitle: mine\nset:\n  {pin}\n")
    told = command.fails(65, "plans", "check", file)
    assert text in told
    assert "mine.yaml" in told


def test_every_recipe_that_comes_along_passes(command) -> None:
    from ercpseg.storage.resources import resource_folder

    for path in sorted(resource_folder("plans").glob("*.yaml")):
        command.succeeds("plans", "check", path)


def test_a_recipe_file_is_checked(command, tmp_path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "schema: ercpseg.recipe/1\nname: mine\ntitle: T\nset: {patch.batch_size: 3, loss.focal_alpha.stone: 4.0}\n"
    )
    assert "mine is a recipe: it pins 2 values" in command.succeeds("plans", "check", file)
    file.write_text("schema: ercpseg.recipe/1\nname: mine\ntitle: T\nset: {patch.batch_size: 0}\n")
    assert "cannot be patch.batch_size" in command.fails(65, "plans", "check", file)
    file.write_text("schema: ercpseg.recipe/1\nname: mine\ntitle: T\nset: {patch.batchsize: 3}\n")
    assert "patch.batch_size" in command.fails(2, "plans", "check", file)
    file.write_text("name: [\n")
    assert "no valid YAML" in command.fails(65, "plans", "check", file)


def test_every_decision_is_explained(command, workspace) -> None:
    out = command.succeeds("plans", "explain", "tiny", workspace=workspace)
    for text in ("Plan of tiny, recipe auto", "because", "inputs", "not taken", "source", "Evidence in brackets"):
        assert text in out
    one = command.succeeds("plans", "explain", "tiny", "--key", "network.name", workspace=workspace)
    for text in ("realtime", "R11", "unet: Two convolutions", "device = cpu", "[E1/E2/E3]"):
        assert text in one
    section = command.succeeds("plans", "explain", "tiny", "--key", "folds", workspace=workspace)
    assert "folds.count" in section
    assert "network.name" not in section
    assert "network.name" in command.fails(2, "plans", "explain", "tiny", "--key", "network.nam", workspace=workspace)


def test_the_explanation_as_json(command, workspace) -> None:
    plan = documents.load(workspace.dataset_folder("tiny") / "plan.json", Plan)
    told = json.loads(command.succeeds("plans", "explain", "tiny", "--format", "json", workspace=workspace))
    assert [d["key"] for d in told["decisions"]] == [d.key for d in plan.decisions]
    name = next(d for d in told["decisions"] if d["key"] == "network.name")
    assert (name["value"], name["by"], name["evidence"], name["inputs"]["device"]) == (
        "realtime",
        "rule",
        "E1/E2/E3",
        "cpu",
    )
    assert "unet" in [a["value"] for a in name["alternatives"]]


class Page(HTMLParser):
    """Tags with their addresses, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data) -> None:
        self.text += data


def test_the_explanation_as_a_page_that_needs_nothing_else(command, workspace) -> None:
    path = workspace.dataset_folder("tiny") / "plan.json"
    plan = documents.load(path, Plan)
    hostile = plan.decisions[0].model_copy(update={"because": "<script>alert(1)</script>"})
    documents.save(path, plan.model_copy(update={"decisions": (hostile, *plan.decisions[1:])}))
    out = command.succeeds("plans", "explain", "tiny", "--format", "html", workspace=workspace)
    page = Page()
    page.feed(out)
    assert out.startswith("<!DOCTYPE html>")
    assert "script" not in page.tags
    assert "<script>alert(1)</script>" in page.text
    assert all(address.startswith("#") for address in page.addresses)
    for text in ("network", "Two convolutions per level", "device = cpu", "E1/E2"):
        assert text in page.text


def test_a_plan_is_found_in_a_file_a_model_and_its_zip(command, trained, tmp_path) -> None:
    model = trained.model_folder("tiny")
    archive = shutil.make_archive(str(tmp_path / "model"), "zip", model)
    expected = command.succeeds("plans", "explain", "tiny", "--format", "json", workspace=trained)
    for name in (trained.dataset_folder("tiny") / "plan.json", model, archive):
        assert command.succeeds("plans", "explain", name, "--format", "json", workspace=tmp_path / "w") == expected
    (tmp_path / "no.json").write_text("{}")
    assert "schema" in command.fails(65, "plans", "explain", tmp_path / "no.json", workspace=trained)


def test_plans_are_compared(command, workspace, tmp_path) -> None:
    plan = documents.load(workspace.dataset_folder("tiny") / "plan.json", Plan)
    assert "0 of" in command.succeeds("plans", "diff", "tiny", "tiny", workspace=workspace)
    changed = tuple(
        d.model_copy(update={"value": 7, "because": "Seven it is.", "by": "user"}) if d.key == "schedule.seed" else d
        for d in plan.decisions
    )
    documents.save(tmp_path / "other.json", plan.model_copy(update={"decisions": changed, "recipe": "other"}))
    out = command.succeeds("plans", "diff", "tiny", tmp_path / "other.json", workspace=workspace)
    for text in (
        "recipe: auto → other",
        "schedule.seed",
        "Seven it is.",
        f"1 of {len(plan.decisions)} decisions differ",
    ):
        assert text in out
    told = json.loads(
        command.succeeds("plans", "diff", "tiny", tmp_path / "other.json", "--format", "json", workspace=workspace)
    )
    (decision,) = told["decisions"]
    assert (decision["key"], decision["a"]["value"], decision["b"]["value"]) == ("schedule.seed", 1, 7)
    assert (told["same"], decision["b"]["by"]) == (False, "user")
