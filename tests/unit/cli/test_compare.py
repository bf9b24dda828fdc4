"""``compare``: candidates under one budget, from the plans to the verdict, and going on after an interruption."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ercpseg.documents.comparison import Comparison
from ercpseg.documents.plan import Plan
from ercpseg.errors import Interrupted
from ercpseg.pipeline.compare_metrics import METRICS
from ercpseg.pipeline.compare_scores import compare_sums, family
from ercpseg.pipeline.study import COMPARISON, RESULTS
from ercpseg.storage import documents
from ercpseg.storage.tables import read_table
from ercpseg.training import run as training
from tests.conftest import TINY
from tests.unit.cli.command import leftovers, snapshot
from tests.unit.evaluation.test_compare import score, sums

PINS = (*TINY, ("schedule.time_budget_s", None), ("schedule.epochs", 2))
QUICK = [
    *("--time-budget", "2s", "--device", "cpu", "--memory", "4"),
    *(word for key, value in PINS for word in ("--set", f"{key}={'null' if value is None else value}")),
]


@pytest.fixture
def mine(tmp_path):
    """A recipe whose network is smaller."""
    file = tmp_path / "mine.yaml"
    text = "schema: ercpseg.recipe/1\nname: mine\ntitle: T\nextends: realtime\nset: {network.features: [8, 8, 16]}\n"
    file.write_text(text)
    return file


def test_from_recipes_to_the_winner_and_nothing_is_trained_twice(
    command, workspace, mine, tmp_path, monkeypatch
) -> None:
    before = snapshot(workspace.root)
    words = ["compare", "tiny", "--recipes", f"{mine},auto,realtime", "--fold", "0,1", *QUICK]
    calls, train = [], training.train_fold
    monkeypatch.setattr("ercpseg.training.cost.measure_step", lambda *_, **__: (0.05, 0.1))  # measuring takes seconds

    def interrupted(space, dataset, plan, fold, *rest, **options):
        calls.append((plan.recipe, fold))
        if len(calls) == 3:
            raise Interrupted("training was stopped and saved", todo="run the same command to go on")
        return train(space, dataset, plan, fold, *rest, **options)

    monkeypatch.setattr(training, "train_fold", interrupted)
    ended = command(*words, workspace=workspace)
    assert ended.code == 75, ended
    assert calls == [("mine", "0"), ("mine", "1"), ("auto", "0")]
    out = command.succeeds(*words, workspace=workspace)
    assert calls[3:] == [("auto", "0"), ("auto", "1")]  # realtime plans the same as auto

    folder = workspace.root / "compare" / "tiny"
    found = documents.load(folder / "compare.json", Comparison)
    assert [c.recipe for c in found.candidates] == ["mine", "auto", "realtime"]
    assert [c.same_as for c in found.candidates] == [None, None, "auto"]
    assert (found.folds, found.frames, found.patients) == ((0, 1), 6, 2)
    assert {run.fold for c in found.candidates for run in c.runs} == {"0", "1"}
    assert found.candidates[0].runs[0].parameters < found.candidates[1].runs[0].parameters
    rows = {(r.recipe, r.scope, r.name): r for r in found.rows}
    assert rows["mine", "structure", "endoscope"].difference == 0
    assert rows["auto", "overall", "overall"].value == rows["realtime", "overall", "overall"].value
    assert set(found.winners) == {*found.families.values(), "overall"}
    every = read_table(folder / "metrics.csv")
    assert len(every) == 3 * 4 * len(METRICS)
    wanted = rows["mine", "structure", "endoscope"]
    (shown,) = [r for r in every if (r["recipe"], r["structure"], r["metric"]) == ("mine", "endoscope", wanted.metric)]
    assert int(shown["frames"]) == wanted.frames
    table = read_table(folder / "compare.csv")
    assert [(r["recipe"], r["name"]) for r in table] == [(r.recipe, r.name) for r in found.rows]
    for text in ("clearly better", "95 % interval", "realtime plans the same as auto", "--from-compare"):
        assert text in out

    validation_is_scored(folder)

    # The dataset's own plan and run are untouched; equal preparations share its prepared frames.
    after = snapshot(workspace.root)
    assert {name for name in before if after[name] != before[name]} == set()
    assert not [name for name in after if name.startswith("compare") and name.endswith(".b2nd")]
    assert leftovers(workspace.root) == []

    monkeypatch.setattr(training, "train_fold", lambda *_, **__: pytest.fail("trained again"))
    assert "every candidate was trained already" in command.succeeds(*words, workspace=workspace)
    assert documents.load(folder / "compare.json", Comparison) == found

    studies_are_kept_apart(command, workspace, words, found)

    plan = ["plan-and-preprocess", "tiny", "--from-compare", "--study", found.study, *QUICK]
    winner = found.winners["overall"].recipe
    said = command.succeeds(*plan, workspace=workspace)
    assert f"the comparison says: recipe {mine if winner == 'mine' else winner}" in said
    assert documents.load(workspace.dataset_folder("tiny") / "plan.json", Plan).recipe == winner
    assert "contradict" in command.fails(2, *plan, "--recipe", "auto", workspace=workspace)
    mine.write_text(mine.read_text().replace("title: T", "title: U"))
    if winner == "mine":
        ended = command(*plan, workspace=workspace)
        assert (ended.code, "not the one that was compared" in ended.err) == (2, True)


def studies_are_kept_apart(command, workspace, words, found) -> None:
    """Another question is another study, which shares trainings; a name stands for one question only."""
    studies = workspace.root / "compare" / "tiny" / "studies"
    first = studies / found.study
    assert found.study.startswith("mine-")
    assert {path.name for path in first.iterdir()} == {"study.json", *RESULTS}
    before = snapshot(first)
    fewer = ["compare", "tiny", "--recipes", f"auto,{words[3].split(',')[0]}", "--fold", "0", *QUICK]
    said = command.succeeds(*fewer, "--study", "one-fold", workspace=workspace)
    assert "every candidate was trained already" in said
    assert f"wrote {studies / 'one-fold' / 'sequences.csv'}" in said
    assert snapshot(first) == before
    last = documents.load(studies.parent / COMPARISON, Comparison)
    assert (last.study, last.folds, [c.recipe for c in last.candidates]) == ("one-fold", (0,), ["auto", "mine"])
    error = command.fails(2, *words, "--study", "one-fold", workspace=workspace)
    assert "recipes, --fold differ" in error
    assert "cannot name a study" in command.fails(2, *fewer, "--study", "../x", workspace=workspace)
    assert documents.load(studies.parent / COMPARISON, Comparison) == last
    error = command.fails(2, "plan-and-preprocess", "tiny", "--from-compare", "--study", "none", workspace=workspace)
    assert "no study 'none' was finished" in error
    assert "--from-compare as well" in command.fails(2, "plan-and-preprocess", "tiny", "--study", "one-fold")


def validation_is_scored(folder: Path) -> None:
    """The Dice in each run's table is that of the validation, which was computed on native masks when it was trained."""
    runs = sorted(folder.glob("*/results/*/*/fold_*/validation"))
    assert len(runs) == 4
    for run in runs:
        summary, rows = json.loads((run / "summary.json").read_text()), read_table(run / "scores.csv")
        for name, told in summary.items():
            dice = [float(r["dice"]) for r in rows if r["structure"] == name and r["dice"]]
            assert len(dice) == told["frames"]
            assert not dice or sum(dice) / len(dice) == pytest.approx(told["dice"], abs=1e-5)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--recipes", "auto"], "two or more"),
        (["--recipes", "auto,auto"], "two or more, each once"),
        (["--recipes", "auto,nope"], "no recipe called 'nope'"),
        (["--fold", "6"], "no fold that holds frames out"),
        (["--fold", "all"], "no fold that holds frames out"),
        (["--time-budget", "soon"], "no duration"),
        (["--set", "patch.size=3"], "no decision is called"),
        (["--set", "schedule.epochs=1"], "every candidate trains for the same time"),
        (
            ["--set", "folds.method=by-series"],
            "is planned with folds.method=grouped, and its folds serve all candidates",
        ),
        (["--set", "folds.count=2"], "deal other folds first"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_trained(command, workspace, words, text: str) -> None:
    before = snapshot(workspace.root)
    assert text in command.fails(2, "compare", "tiny", *words, workspace=workspace)
    assert snapshot(workspace.root) == before


def test_without_a_comparison_there_is_no_winner(command, workspace) -> None:
    error = command.fails(2, "plan-and-preprocess", "tiny", "--from-compare", workspace=workspace)
    assert "run ercpseg compare first" in error


# -- the verdict -----------------------------------------------------------------------------------------------------

PATIENTS = tuple("abcdefgh")


def side(**dice: float) -> dict:
    """Sums of one candidate: the same Dice in every patient, but for a spread that all candidates share."""
    spread = (-0.04, -0.03, -0.02, -0.01, 0.01, 0.02, 0.03, 0.04)
    return {
        name: sums([score(p, value + s) for p, s in zip(PATIENTS, spread, strict=True)], PATIENTS, "dice")
        for name, value in dice.items()
    }


FAMILIES = {"endoscope": "large", "cbd": "large", "guidewire": "thin"}


def test_a_family_is_won_only_clearly() -> None:
    summed = {
        "first": side(endoscope=0.9, cbd=0.8, guidewire=0.5),
        "second": side(endoscope=0.9, cbd=0.8, guidewire=0.6),
        "third": side(endoscope=0.8, cbd=0.8, guidewire=0.55),
    }
    rows, winners = compare_sums(summed, FAMILIES, len(PATIENTS))
    assert (winners["thin"].recipe, winners["thin"].clear) == ("second", True)
    assert (winners["large"].recipe, winners["large"].clear) == ("first", False)
    assert winners["overall"].recipe == "second"
    wire = next(r for r in rows if (r.recipe, r.name) == ("third", "guidewire"))
    assert (wire.metric, wire.difference, wire.low, wire.high) == ("cldice", 0.05, 0.05, 0.05)
    large = next(r for r in rows if (r.recipe, r.scope, r.name) == ("third", "family", "large"))
    assert (large.metric, large.difference) == ("mean", -0.05)


def test_with_one_patient_the_first_stays() -> None:
    one = {name: {"stone": sums([score("a", dice)], "a", "dice")} for name, dice in (("x", 0.1), ("y", 0.9))}
    _, winners = compare_sums(one, {"stone": "small"}, 1)
    assert (winners["overall"].recipe, winners["overall"].clear) == ("x", False)
    assert "no interval" in winners["overall"].because


@pytest.mark.parametrize(
    ("name", "families", "expected"),
    [
        ("guidewire", ("tubular", "thin", "tiny"), "thin"),
        ("stone", (), "small"),
        ("clip", ("tiny",), "large"),  # one small thing is judged by its area, several by how many are found
        ("beads", ("multi", "tiny"), "small"),
        ("cbd", ("tubular", "multi"), "large"),
        ("endoscope", ("large",), "large"),
    ],
)
def test_structures_are_judged_by_their_family(name: str, families: tuple[str, ...], expected: str) -> None:
    from ercpseg.planner.families import Traits

    traits = Traits(families, *[1.0] * (len(Traits.__dataclass_fields__) - 1))
    assert family(name, traits) == expected
