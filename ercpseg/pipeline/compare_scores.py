"""Scores of a comparison's candidates on the frames that the folds hold out, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.comparison import Candidate, Comparison, Paired, Verdict
from ercpseg.documents.scores import FrameScore
from ercpseg.evaluation.compare import OBJECTS_F1, Difference, Sums, paired_difference, patient_draws, sums
from ercpseg.frames.groups import group_frames
from ercpseg.pipeline.candidates import Trial, splits_sha256
from ercpseg.pipeline.compare_metrics import write_metrics
from ercpseg.pipeline.compare_sequences import write_sequences
from ercpseg.pipeline.entries import warnings_about
from ercpseg.pipeline.known import Planned
from ercpseg.planner.families import Traits, traits_of
from ercpseg.planner.metrics import primary_metric
from ercpseg.planner.rules_size import COMMON_SIDE_PX
from ercpseg.progress import Progress, track
from ercpseg.reporting.study import study_markdown
from ercpseg.storage import documents, tables
from ercpseg.storage.atomic import write_text
from ercpseg.storage.workspace import Workspace

if TYPE_CHECKING:
    from ercpseg.documents.dataset import FrameRecord
    from ercpseg.pipeline.compare import CompareOptions
    from ercpseg.pipeline.study import Opened

METRIC_OF = {"thin": "cldice", "small": OBJECTS_F1, "large": "dice"}
"""Family → its primary metric, all shares from 0 to 1 (science reference §4)."""
FEW_PATIENTS = 20
Scores = dict[str, list[FrameScore]]
"""Structure → scores of frames, over all trainings of a candidate."""


def family(name: str, traits: Traits) -> str:
    """How a structure is judged, as by tuning: by its centre line, by its objects, or by its area."""
    return {"cldice": "thin", "object_f1": "small", "dice": "large"}[primary_metric(name, traits)]


def judge(  # noqa: PLR0913  # all needed
    space: Workspace,
    planned: Planned,
    used: list[FrameRecord],
    trials: Sequence[Trial],
    candidates: Sequence[Candidate],
    options: CompareOptions,
    study: Opened,
    progress: Progress,
) -> Comparison:
    """Score every candidate, compare each with the first, and say which to take; writes the study's tables and report."""
    dataset, fingerprint = planned.dataset, planned.fingerprint
    splits = documents.load_json(space.preprocessed_folder(dataset.name) / "splits_final.json")
    groups = group_frames(used)
    held = {fold: list[str](splits[int(fold)]["val"]) for fold in options.folds}
    patient_of = {frame: f"group{groups.of[frame]:05d}" for frames in held.values() for frame in frames}
    patients = sorted(set(patient_of.values()))
    leaky = leaks([splits[int(fold)] for fold in options.folds], groups.of)
    scores = {c.recipe: _scores(space, planned, c, trials, held, patient_of, progress) for c in candidates}
    traits = traits_of(fingerprint, min(1.0, COMMON_SIDE_PX / fingerprint.reference_long_side_px))
    families = {name: family(name, traits[name]) for name in dataset.structures}
    summed = {
        recipe: {name: sums(scored, patients, METRIC_OF[families[name]]) for name, scored in rows.items()}
        for recipe, rows in scores.items()
    }
    rows, winners = compare_sums(summed, families, len(patients))
    begun = [text for trial in trials for text in warnings_about(trial.entry, trial.plan)]
    comparison = Comparison.new(
        dataset=dataset.name,
        study=study.name,
        folds=tuple(map(int, options.folds)),
        time_budget_s=float(options.time_budget_s),
        device=options.device,
        seeds=tuple(range(1, options.seeds + 1)),
        fingerprint_sha256=fingerprint.sha256,
        splits_sha256=splits_sha256(space, dataset.name),
        frames=len(patient_of),
        patients=len(patients),
        families=families,
        candidates=tuple(candidates),
        rows=tuple(rows),
        winners=winners,
        warnings=(*_warnings(candidates, len(patients), options.seeds, leaky=leaky), *dict.fromkeys(begun)),
    )
    folder = study.folder
    tables.write_table(folder / "compare.csv", tuple(Paired.model_fields), (row.model_dump() for row in rows))
    metrics = write_metrics(folder / "metrics.csv", scores)
    sequences = write_sequences(folder / "sequences.csv", scores, used)
    write_text(folder / "report.md", study_markdown(comparison, metrics, sequences))
    return comparison


def _scores(  # all needed
    space: Workspace,
    planned: Planned,
    candidate: Candidate,
    trials: Sequence[Trial],
    held: Mapping[str, Sequence[str]],
    patient_of: Mapping[str, str],
    progress: Progress,
) -> Scores:
    """Scores of one candidate's held-out predictions at native size; also kept beside each run's validation.

    Only of the structures that it learns: a recipe may leave some out.
    """
    from ercpseg.evaluation.frame import score_frame
    from ercpseg.evaluation.run import COLUMNS
    from ercpseg.storage.images import read_png
    from ercpseg.training.run import run_folder

    dataset = planned.dataset
    structures = next(t for t in trials if t.entry.name == candidate.recipe).plan.structure_set
    references = space.raw_folder(dataset.name) / "labelsTr"
    found: Scores = {name: [] for name in structures}
    mine = [trial.trained.space for trial in trials if trial.entry.name == candidate.recipe]
    for own, (fold, frames) in product(mine, held.items()):
        validation = run_folder(own, dataset.name, fold) / "validation"

        def one(frame: str, labels: Path = validation / "labels") -> list[FrameScore]:
            reference, predicted = read_png(references / f"{frame}.png"), read_png(labels / f"{frame}.png")
            return [
                score_frame(
                    reference=(reference & structures.value(name)) != 0,
                    prediction=(predicted & structures.value(name)) != 0,
                    frame=frame,
                    patient=patient_of[frame],
                    structure=name,
                )
                for name in structures
            ]

        with ThreadPoolExecutor(2) as pool:
            per_frame = list(track(pool.map(one, frames), progress, f"Scoring {candidate.recipe}", len(frames)))
        rows = [score for scores in per_frame for score in scores]
        tables.write_table(validation / "scores.csv", COLUMNS, (row.model_dump() for row in rows))
        for row in rows:
            found[row.structure].append(row)
    return found


def compare_sums(
    summed: Mapping[str, Mapping[str, Sums]], families: Mapping[str, str], patients: int
) -> tuple[list[Paired], dict[str, Verdict]]:
    """Rows and verdicts from recipe → structure → sums over ``patients``; the first recipe is the one compared with."""
    draws = patient_draws(patients)
    first = next(iter(summed))
    kinds = {kind: [n for n in families if families[n] == kind] for kind in METRIC_OF if kind in families.values()}
    scopes = [("structure", name, [name], METRIC_OF[families[name]]) for name in families]
    scopes += [("family", kind, names, METRIC_OF[kind] if len(names) == 1 else "mean") for kind, names in kinds.items()]
    scopes += [("overall", "overall", list(families), "mean")]
    rows: list[Paired] = []
    winners: dict[str, Verdict] = {}
    for scope, name, members, metric in scopes:
        differences: dict[str, Difference] = {}
        for recipe in summed:
            counts = [summed[recipe][n] for n in members if n in summed[recipe]]
            differences[recipe] = found = _difference(summed[first], summed[recipe], members, draws)
            rows.append(
                Paired.model_validate(
                    {
                        "recipe": recipe,
                        "scope": scope,
                        "name": name,
                        "metric": metric,
                        **{key: _rounded(getattr(found, key)) for key in ("value", "difference", "low", "high")},
                        "frames": max((c.frames for c in counts), default=0),
                        "patients": max((c.patients for c in counts), default=0),
                    }
                )
            )
        if scope != "structure":
            winners[name] = _verdict(differences, first)
    return rows, winners


def _difference(
    first: Mapping[str, Sums], other: Mapping[str, Sums], members: Sequence[str], draws: NDArray[np.int64] | None
) -> Difference:
    """Nothing where a recipe leaves out a structure that is asked for: a mean over fewer is another figure."""
    if any(n not in other for n in members):
        return Difference(None, None, None, None)
    mine = {n: other[n] for n in members}
    if all(n in first for n in members):
        return paired_difference({n: first[n] for n in members}, mine, draws)
    return replace(paired_difference(mine, mine, draws), difference=None, low=None, high=None)


def _verdict(differences: Mapping[str, Difference], first: str) -> Verdict:
    """The recipe that gains most among those that are clearly better than the first; if none is, the first."""
    better = {recipe: d for recipe, d in differences.items() if recipe != first and d.better}
    if better:
        recipe = max(better, key=lambda r: better[r].difference or 0.0)
        d = better[recipe]
        text = f"{d.difference:+.3f} beside {first}, 95 % interval {d.low:+.3f} to {d.high:+.3f}, above 0."
        return Verdict(recipe=recipe, clear=True, because=text)
    others = [
        f"{recipe} {d.difference:+.3f} ({'no interval' if d.low is None else f'{d.low:+.3f} to {d.high:+.3f}'})"
        for recipe, d in differences.items()
        if recipe != first and d.difference is not None
    ]
    told = "; ".join(others) or "nothing could be compared"
    return Verdict(recipe=first, clear=False, because=f"No recipe is clearly better than {first}: {told}.")


def leaks(folds: Sequence[Mapping[str, Sequence[str]]], group_of: Mapping[str, int]) -> bool:
    """Whether some fold learns from a group (frame → group: a patient where it is known) that it also holds out.

    >>> leaks([{"train": ["a"], "val": ["b"]}], {"a": 0, "b": 1}), leaks([{"train": ["a"], "val": ["b"]}], {"a": 0, "b": 0})
    (False, True)
    """
    return any({group_of[f] for f in fold["train"]} & {group_of[f] for f in fold["val"]} for fold in folds)


def _warnings(candidates: Sequence[Candidate], patients: int, seeds: int, *, leaky: bool) -> tuple[str, ...]:
    said = []
    if leaky:
        said.append("Folds do not keep patients apart here, so differences say nothing about new patients.")
    if patients < 2:
        said.append("One patient is held out: no intervals, so no winner can be told; name more folds, --fold 0,1,2.")
    elif patients < FEW_PATIENTS:
        said.append(f"Only {patients} patients are held out; intervals of so few are rough.")
    if seeds == 1:
        said.append("One training each: differences below a point may come from the seed; --seeds 3 tells.")
    said += [
        f"{c.recipe} plans the same as {c.same_as} here and was not trained again." for c in candidates if c.same_as
    ]
    return tuple(said)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
