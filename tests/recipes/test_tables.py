"""Every command that recomputes a table of a paper, as documented, through the whole program: two steps a training.

Frames, channels and working size are those of a test, of several folds or seeds the first is trained, and of the recipes the
first two; the slow test trains all.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ercpseg.documents.comparison import Comparison
from ercpseg.planner.recipes import expand, load_recipe
from ercpseg.storage import documents
from ercpseg.storage.tables import read_table
from ercpseg.storage.workspace import Workspace
from tests.recipes.test_trains import SMALL
from tests.unit.cli.command import Command

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "reproduce-a-paper.md"
SERIES = """\
schema: ercpseg.descriptor/1
name: tiny
title: T
source: made by a test
licence: CC0
access: none
frames: {folder: images}
annotations: [{format: masks, path: masks}]
grouping: {series: {by: stem, pattern: '^(.*)_f'}}
"""
"""Leaving out one sequence needs sequences, which plain files do not tell."""


def documented() -> Iterator[tuple[str, str]]:
    """Table and command of every row of the page's table."""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        found = re.fullmatch(r"\| ([^|]+) \| `(ercpseg compare [^`]+)` \|", line)
        if found:
            yield found[1], found[2]


TABLES = dict(documented())


def test_every_table_of_the_papers_has_a_command() -> None:
    for words in ("Pishro 2026, Table 1", "FRA-Net 2020, Table 2", "FRA-Net 2020, Table 3", "Martin 2022, two figures"):
        assert any(name.startswith(words) for name in TABLES), words
    for table in ("experiments 1 and 2", "Table 2", "section 4.1", "Table 4", "Table 5", "Table 6"):
        assert any(name.startswith(f"Gherardini 2020, {table}") for name in TABLES), table


@pytest.fixture
def recompute(
    capsys: pytest.CaptureFixture[str],
    workspace: Workspace,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str, int | None], None]:
    """Run the command of a table with so many of its recipes, and look at what it wrote."""
    monkeypatch.setattr("ercpseg.training.cost.measure_step", lambda *_, **__: (0.05, 0.1))  # measuring takes seconds
    monkeypatch.setattr("ercpseg.training.cost.measure_forward", lambda *_, **__: 0.01)
    shutil.copytree(tiny_folder, tmp_path / "data")
    (tmp_path / "data" / "tiny.yaml").write_text(SERIES)

    def run(table: str, most: int | None) -> None:
        words = shlex.split(TABLES[table])[1:]
        words[1] = {"my-data": "tiny", "data/my-data": str(tmp_path / "data" / "tiny.yaml")}[words[1]]
        wanted = expand(words[words.index("--recipes") + 1].split(","))[:most]
        shown = {"--fold": "0", "--seeds": "1", "--recipes": ",".join(wanted)}
        for option, value in shown.items():
            if option in words:
                words[words.index(option) + 1] = value
        pins = [w for key, value in SMALL.items() for w in ("--set", f"{key}={'null' if value is None else value}")]
        command, extra = Command(capsys), ["--device", "cpu", *pins]
        for seed, model in enumerate(sorted({w.partition("@")[2] for w in wanted} - {""})):
            first = [str(tmp_path / "data" / "tiny.yaml"), "--name", model, "--recipe", "light-unet", *extra]
            seeded = ["--set", f"schedule.seed={seed}", "--set", "heads.structures=[guidewire]"]
            command.succeeds("plan-and-preprocess", *first, *seeded, workspace=workspace)
            command.succeeds("train", model, "all", workspace=workspace)
        command.succeeds(*words, *extra, "--memory", "4", "--study", "table", workspace=workspace)
        name = words[words.index("--name") + 1] if "--name" in words else "tiny"
        check(workspace.root / "compare" / name / "studies" / "table", wanted)

    return run


def check(folder: Path, wanted: list[str]) -> None:
    """A row for every recipe, structure that it learns, and sequence that was held out."""
    found = documents.load(folder / "compare.json", Comparison)
    assert [c.recipe for c in found.candidates] == wanted
    assert all(run.iterations == 2 for c in found.candidates for run in c.runs)
    assert all(c.runs[0].parameters > 0 and c.forward_ms == 10.0 for c in found.candidates)
    metrics, sequences = (read_table(folder / f"{kind}.csv") for kind in ("metrics", "sequences"))
    report = (folder / "report.md").read_text()
    for recipe in wanted:
        learnt = set(
            load_recipe(recipe.partition("@")[0]).pins.get(
                "heads.structures", ("endoscope", "guidewire", "cbd", "stone")
            )
        )
        assert {row["structure"] for row in metrics if row["recipe"] == recipe} == learnt
        held = [r["sequence"] for r in sequences if (r["recipe"], r["metric"]) == (recipe, "dice")]
        assert held[-1] == "mean" and len(set(held)) >= 2
        assert f"| {recipe} |" in report and f"{recipe}: Dice |" in report


QUICK = ("Pishro 2026, Table 1", "FRA-Net 2020", "Gherardini 2020, Table 2", "Gherardini 2020, Table 4, S2",
         "Gherardini 2020, experiments", "Martin")  # fmt: skip
"""One of each kind; the slow test runs the others, which differ in pins, too."""


@pytest.mark.parametrize("table", [name for name in TABLES if name.startswith(QUICK)])
def test_it_recomputes_its_form(table: str, recompute: Callable[[str, int | None], None]) -> None:
    recompute(table, 2)


def test_the_very_frames_of_a_split_may_be_said(workspace, tiny_folder, tmp_path, capsys) -> None:
    """S1 of Gherardini 2020: a fifth of every sequence trains, the rest is tested; the plan warns of what looks alike."""
    data = Path(shutil.copytree(tiny_folder, tmp_path / "data"))
    stems = sorted(path.stem for path in (data / "images").iterdir())
    trained = {stem for stem in stems if stem.endswith("_f0000")}
    rows = [f"{stem},{'train' if stem in trained else 'val'}" for stem in stems]
    (data / "s1.csv").write_text("\n".join(["frame,part", *rows]) + "\n")
    (block,) = re.findall("```text\n(grouping:.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (data / "s1.yaml").write_text(SERIES.replace("name: tiny", "name: s1").partition("grouping:")[0] + block)
    words = ["plan-and-preprocess", str(data / "s1.yaml"), "--device", "cpu", "--set", "patch.batch_size=2"]
    Command(capsys).succeeds(*words, workspace=workspace)
    (fold,) = documents.load_json(workspace.preprocessed_folder("s1") / "splits_final.json")
    assert (set(fold["train"]), set(fold["val"])) == (trained, set(stems) - trained)


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_it_recomputes_all_of_it(table: str, recompute: Callable[[str, int | None], None]) -> None:
    recompute(table, None)
