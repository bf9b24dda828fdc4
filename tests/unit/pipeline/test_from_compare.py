"""What a comparison says to plan with, from a comparison and plans made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ercpseg.documents.comparison import Candidate, CandidateRun, Comparison, Study, Verdict
from ercpseg.documents.plan import Plan
from ercpseg.errors import UsageError
from ercpseg.pipeline.from_compare import differences, winner
from ercpseg.pipeline.study import COMPARISON, STUDY
from ercpseg.planner.budget import Budget
from ercpseg.planner.plan import make_plan
from ercpseg.planner.recipes import load_recipe
from ercpseg.storage import documents
from ercpseg.storage.candidates import study_folder
from ercpseg.storage.workspace import Workspace
from tests.golden.planner.generate import ercp_like, steady

FLAT = dict.fromkeys(("endoscope", "guidewire", "cbd", "stone", "instrument", "duct"), 1.0)


def plan(**pins: Any) -> Plan:
    overrides = {key.replace("__", "."): value for key, value in pins.items()}
    return make_plan(ercp_like(), load_recipe("auto"), Budget("cpu", 8.0, threads=2), steady, overrides)


@pytest.fixture
def compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Workspace, dict[str, Verdict]]:
    """A comparison of auto and unet; unet weighs every pixel alike. Winners are set by the tests."""
    space = Workspace(tmp_path)
    space.dataset_folder("golden").mkdir(parents=True)
    monkeypatch.setattr(Workspace, "names", lambda self: ["golden"])
    made = {"auto": plan(), "unet": plan(loss__focal_alpha=FLAT)}
    candidates = []
    for name, it in made.items():
        folder = tmp_path / "compare" / "golden" / name
        folder.mkdir(parents=True)
        documents.save(folder / "plan.json", it)
        run = CandidateRun(
            seed=1, fold="0", plan_sha256=it.sha256, epochs=1, iterations=1, seconds=1.0, parameters=1,
            folder=f"compare/golden/{name}",
        )  # fmt: skip
        sha = load_recipe(name).sha256
        start = {"init_from": "light", "init_from_sha256": "0" * 64} if name == "unet" else {}
        candidates.append(Candidate(recipe=name, given=name, recipe_sha256=sha, network="light", runs=(run,), **start))
    stays = Verdict(recipe="auto", clear=False, because="Nothing is better.")
    winners = dict.fromkeys(("thin", "small", "large", "overall"), stays)

    def save() -> None:
        families = {"endoscope": "large", "guidewire": "thin", "cbd": "large", "stone": "small"}
        done = Comparison.new(
            dataset="golden", folds=(0,), time_budget_s=60.0, device="cpu", seeds=(1,), fingerprint_sha256="0" * 64,
            splits_sha256="0" * 64, frames=8, patients=8, families=families, candidates=tuple(candidates), rows=(),
            winners=winners,
        )  # fmt: skip
        documents.save(tmp_path / "compare" / "golden" / COMPARISON, done)

    save()
    winners_with_save = _Winners(winners, save)
    return space, winners_with_save


class _Winners(dict[str, Verdict]):
    """Saves the comparison whenever a verdict is set."""

    def __init__(self, winners: dict[str, Verdict], save: Any):
        super().__init__(winners)
        self._winners, self._save = winners, save

    def __setitem__(self, key: str, verdict: Verdict) -> None:
        super().__setitem__(key, verdict)
        self._winners[key] = verdict
        self._save()


CLEAR = Verdict(recipe="unet", clear=True, because="+0.100 beside auto, above 0.")


def test_nothing_better_takes_the_first_as_it_is(compared: Any) -> None:
    space, _ = compared
    found = winner("golden", space)
    assert (found.given, found.pins) == ("auto", ())


def test_a_family_takes_the_weights_of_the_recipe_that_won_it(compared: Any) -> None:
    space, winners = compared
    winners["thin"] = CLEAR
    found = winner("golden", space)
    assert found.given == "auto"
    assert dict(found.pins) == {"loss.focal_alpha.guidewire": 1.0}
    assert "for guidewire (thin): its 1 other weights" in found.said[1]
    made = make_plan(ercp_like(), load_recipe("auto"), Budget("cpu", 8.0), steady, dict(found.pins))
    ours = plan().values.loss.focal_alpha
    assert made.values.loss.focal_alpha == {**ours, "guidewire": 1.0}


def test_the_overall_winner_brings_its_own(compared: Any) -> None:
    space, winners = compared
    winners["thin"] = winners["overall"] = CLEAR
    found = winner("golden", space)
    assert (found.given, found.pins) == ("unet", ())
    assert found.said[1] == "it began from the model light: train with --init-from light"


def test_a_family_that_is_not_clear_changes_nothing(compared: Any) -> None:
    space, winners = compared
    winners["small"] = Verdict(recipe="unet", clear=False, because="No interval.")
    assert winner("golden", space).pins == ()


def test_a_recipe_that_changed_is_refused(compared: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    space, winners = compared
    winners["thin"] = CLEAR
    changed = load_recipe("auto").model_copy(update={"name": "unet"})
    monkeypatch.setattr(
        "ercpseg.planner.recipes.load_recipe", lambda name: changed if name == "unet" else load_recipe(name)
    )
    with pytest.raises(UsageError, match="not the one that was compared"):
        winner("golden", space)


def test_differences_are_of_the_members_only() -> None:
    a, b = plan(), plan(loss__focal_alpha=FLAT, loss__focal_gamma=dict.fromkeys(FLAT, 0.0))
    assert differences(a, b, ["stone"]) == {"loss.focal_alpha.stone": 1.0, "loss.focal_gamma.stone": 0.0}
    assert differences(a, a, ["stone", "guidewire"]) == {}


def test_what_a_study_pinned_for_all_is_pinned_again(compared: Any) -> None:
    """Else a winner that began from a model could be planned so that the model does not fit."""
    space, winners = compared
    folder = study_folder(space, "golden", "pinned")
    folder.mkdir(parents=True)
    overrides = {"network.name": "light", "folds.count": 2, "schedule.epochs": 3}
    study = Study.new(
        dataset="golden", recipes=(), folds=(0,), seeds=1, time_budget_s=60.0, memory_gb=None, device="cpu", threads=2,
        overrides=overrides, fingerprint_sha256="0" * 64, splits_sha256="0" * 64,
    )  # fmt: skip
    documents.save(folder / STUDY, study)
    winners["overall"] = CLEAR
    path = space.root / "compare" / "golden" / COMPARISON
    documents.save(folder / COMPARISON, documents.load(path, Comparison).model_copy(update={"study": "pinned"}))
    found = winner("golden", space, "pinned")
    assert dict(found.pins) == {"network.name": "light"}
    assert "with what the study pinned for all: network.name" in found.said
