"""What a comparison says to plan with: the recipe that won overall, and what another did better for a family (R31)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ercpseg.documents.comparison import Candidate, Comparison, Study
from ercpseg.documents.plan import Plan
from ercpseg.errors import UsageError
from ercpseg.pipeline.known import known_name
from ercpseg.pipeline.study import COMPARISON, STUDY
from ercpseg.storage import documents
from ercpseg.storage.candidates import comparison_folder, study_folder
from ercpseg.storage.workspace import Workspace

OF_A_HEAD = (
    "loss.head_weight",
    "loss.dice_weight",
    "loss.focal_weight",
    "loss.focal_alpha",
    "loss.focal_gamma",
    "loss.fn_weight",
    "loss.skeleton_weight",
    "loss.component_weight",
)
"""Decisions with a value per head: of these a plan can take one recipe's for one structure and another's for the next."""


@dataclass(frozen=True)
class Winner:
    """``given`` is the recipe to plan with, ``pins`` what other recipes decide for the families that they won."""

    given: str
    pins: tuple[tuple[str, Any], ...]
    said: tuple[str, ...]


def winner(dataset: str | Path, workspace: Workspace, study: str | None = None) -> Winner:
    """What a study of this dataset says to take; the one that was run last where none is named.

    A plan has one network and one schedule, so these are of the recipe that won overall. Where another recipe won a family
    of structures, its weights of the loss are taken for the structures of that family.

    Raises
    ------
    UsageError
        when nothing was compared, or a recipe has changed since.
    """
    name = known_name(dataset, workspace)
    path = None
    if name in workspace.names():
        path = (study_folder(workspace, name, study) if study else comparison_folder(workspace, name)) / COMPARISON
    if path is None or not path.exists():
        what = f"no study {study[:64]!r} was finished" if study else "nothing was compared"
        raise UsageError(f"{what} on {name[:64]!r}", where="--from-compare", todo="run ercpseg compare first")
    comparison = documents.load(path, Comparison)
    by_name = {candidate.recipe: candidate for candidate in comparison.candidates}
    overall = by_name[comparison.winners["overall"].recipe]
    _check_unchanged(overall)
    taken = _plan(workspace, overall, by_name)
    pins: list[tuple[str, Any]] = []
    said = [f"the comparison says: recipe {overall.given}"]
    if overall.init_from is not None:
        began = overall.init_from_given or overall.init_from
        said.append(f"it began from the model {overall.init_from}: train with --init-from {began}")
    shared = _pinned_for_all(workspace, name, comparison.study)
    if shared:
        pins += shared.items()
        said.append(f"with what the study pinned for all: {', '.join(shared)}")
    for family, verdict in comparison.winners.items():
        if family == "overall" or not verdict.clear or verdict.recipe == overall.recipe:
            continue
        _check_unchanged(by_name[verdict.recipe])
        members = [structure for structure, kind in comparison.families.items() if kind == family]
        found = differences(taken, _plan(workspace, by_name[verdict.recipe], by_name), members)
        pins += found.items()
        what = f"its {len(found)} other weights of the loss" if found else "which weighs the loss alike"
        said.append(f"for {', '.join(members)} ({family}): {what} from recipe {verdict.recipe}; {verdict.because}")
    return Winner(overall.given, tuple(pins), tuple(said))


def _pinned_for_all(workspace: Workspace, name: str, study: str) -> dict[str, Any]:
    """The pins of a study's candidates, but for folds, which are the dataset's, and time, which was the study's."""
    path = study_folder(workspace, name, study) / STUDY if study else None
    if path is None or not path.exists():
        return {}
    pinned = documents.load(path, Study).overrides
    return {key: value for key, value in pinned.items() if key.partition(".")[0] not in ("folds", "schedule")}


def differences(taken: Plan, better: Plan, members: list[str]) -> Mapping[str, Any]:
    """Pins ``section.key.structure`` for what ``better`` decides otherwise than ``taken`` for these structures."""
    found = {}
    for key in OF_A_HEAD:
        ours, theirs = taken.decision(key).value, better.decision(key).value
        for structure in members:
            if structure in ours and structure in theirs and ours[structure] != theirs[structure]:
                found[f"{key}.{structure}"] = theirs[structure]
    return found


def _plan(workspace: Workspace, candidate: Candidate, by_name: Mapping[str, Candidate]) -> Plan:
    trained = by_name[candidate.same_as] if candidate.same_as and not candidate.runs else candidate
    return documents.load(workspace.root / trained.runs[0].folder / "plan.json", Plan)


def _check_unchanged(candidate: Candidate) -> None:
    from ercpseg.planner.recipes import load_recipe

    if load_recipe(candidate.given).sha256 != candidate.recipe_sha256:
        raise UsageError(
            f"recipe {candidate.recipe} is not the one that was compared any more",
            where="--from-compare",
            todo="run ercpseg compare again, or name the recipe with --recipe",
        )
