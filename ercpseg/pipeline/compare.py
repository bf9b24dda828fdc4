"""``compare``: recipes trained under one equal budget, and their paired differences on held-out frames (R31)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ercpseg.documents.comparison import Candidate, CandidateRun, Comparison
from ercpseg.documents.plan import Plan
from ercpseg.documents.run import RunRecord
from ercpseg.errors import UsageError
from ercpseg.pipeline.candidates import FOLD_KEYS, Machine, Trial, make_trial, prepare_trial, train_trial
from ercpseg.pipeline.entries import Entry, read_entries, split_start
from ercpseg.pipeline.known import REQUEST, Planned, known_name, load_planned, used_records
from ercpseg.pipeline.prepare import PlanOptions, available_memory_gb, plan, resolve_device
from ercpseg.pipeline.study import COMPARISON, check_study_name, open_study, publish
from ercpseg.progress import SILENT, Progress
from ercpseg.storage import documents
from ercpseg.storage.workspace import Workspace

DEFAULT_BUDGET_S = 600.0
MAX_SEEDS = 20


@dataclass(frozen=True)
class CompareOptions:
    """What to compare: ``seeds`` trainings of each recipe on each of ``folds``; ``overrides`` pin decisions of all."""

    recipes: tuple[str, ...] | None = None
    """None: those that the dataset's plan names (R31)."""
    folds: tuple[str, ...] = ("0",)
    time_budget_s: float = DEFAULT_BUDGET_S
    seeds: int = 1
    memory_gb: float | None = None
    device: str = "auto"
    overrides: tuple[tuple[str, Any], ...] = ()
    threads: int = 2
    study: str | None = None
    """Name of the study; None: derived from what is compared."""


@dataclass(frozen=True)
class Compared:
    """A finished comparison. ``folder`` is its study's, ``trained`` counts the trainings that this very call did."""

    comparison: Comparison
    folder: Path
    trained: int


def compare(
    dataset: str | Path,
    *,
    name: str | None = None,
    workspace: Workspace | str | Path | None = None,
    options: CompareOptions = CompareOptions(),
    progress: Progress = SILENT,
) -> Compared:
    """Train every recipe for the same time on the same folds, score the frames that they hold out, and compare.

    A dataset that is not planned yet is planned by the first recipe (``auto`` where none is named), under ``name`` if one is
    given; its folds and prepared frames serve all. The same call goes on after an interruption, and trains nothing that is
    trained. Every comparison is a study with a folder of its own; other studies are left alone. Writes ``compare.json``,
    ``compare.csv``, ``metrics.csv``, ``sequences.csv`` and ``report.md`` there, and copies of them one folder up.

    Raises
    ------
    UsageError
        for fewer than two recipes, an unknown one, a fold that the dataset does not have, or the name of another study.
    Interrupted
        when it was asked to stop; the same call goes on.
    """
    from ercpseg.pipeline.compare_scores import judge

    _check(options)
    space = workspace if isinstance(workspace, Workspace) else Workspace.default(workspace)
    entries = read_entries(options.recipes, space) if options.recipes is not None else None
    planned = _planned(dataset, name, space, options, progress)
    if entries is None:
        entries = read_entries(planned.plan.values.portfolio.recipes, space)
    _check_same_folds(planned, options)
    folds = _check_folds(planned.plan, options.folds)
    options = replace(options, device=resolve_device(options.device), folds=folds)
    machine = Machine(available_memory_gb(options.device) if options.memory_gb is None else options.memory_gb)
    with space.locked():
        study = open_study(space, planned, entries, options)
        used = used_records(space, planned.dataset)
        trials: list[Trial] = []
        for entry in entries:  # all plans first: what cannot be planned is told before hours of training
            for seed in range(1, options.seeds + 1):
                trials.append(make_trial(space, planned, entry, seed, options, machine, trials))
        for trial in trials:
            prepare_trial(trial, planned, used, progress)
        distinct = [(trial, fold) for trial in trials if trial.same_as is None for fold in folds]
        done, records = 0, dict[tuple[str, str], RunRecord]()
        for number, (trial, fold) in enumerate(distinct):
            about = f"training {number + 1} of {len(distinct)}: {trial.entry.name}, seed {trial.seed}, fold {fold}"
            records[trial.key, fold], fresh = train_trial(space, trial, planned, fold, about, progress)
            done += fresh
        candidates = [_candidate(space, entry, trials, records) for entry in entries]
        comparison = judge(space, planned, used, trials, candidates, options, study, progress)
        documents.save(study.folder / COMPARISON, comparison)
        publish(space, planned.dataset.name, study)
    return Compared(comparison, study.folder, done)


def _check(options: CompareOptions) -> None:
    from ercpseg.planner.pins import check_pins

    if not 1 <= options.seeds <= MAX_SEEDS:
        raise UsageError(f"{options.seeds} seeds", where="--seeds", expected=f"1 to {MAX_SEEDS}")
    if options.study is not None:
        check_study_name(options.study)
    pins = dict(options.overrides)
    check_pins(pins, where="--set")
    if "schedule.epochs" in pins and pins.get("schedule.time_budget_s", 0) is not None:
        raise UsageError(
            "schedule.epochs would not count: every candidate trains for the same time",
            where="--set",
            todo="give the time with --time-budget, or for equal epochs pin schedule.time_budget_s=null too",
        )


def _planned(
    dataset: str | Path, asked: str | None, space: Workspace, options: CompareOptions, progress: Progress
) -> Planned:
    from ercpseg.planner.recipes import expand

    name = asked or known_name(dataset, space)
    folder = space.dataset_folder(name) if name in space.names() else None
    if folder is None or not (folder / "plan.json").exists() or not (folder / REQUEST).exists():
        recipe = expand([split_start(options.recipes[0])[0]])[0] if options.recipes else "auto"
        progress.say(f"{name} is not planned yet; its folds are made by recipe {recipe}")
        first = PlanOptions(
            recipe=recipe,
            time_budget_s=options.time_budget_s,
            memory_gb=options.memory_gb,
            device=options.device,
            overrides=options.overrides,
            threads=options.threads,
        )
        return plan(dataset, name=asked, workspace=space, options=first, progress=progress)
    return load_planned(space, name)


def _check_same_folds(planned: Planned, options: CompareOptions) -> None:
    """Refuse folds that are not the dataset's: all candidates are judged on the same frames, dealt when it was planned."""
    for key, value in options.overrides:
        dealt = planned.plan.decision(key).value if key in FOLD_KEYS else value
        if value != dealt:
            name = planned.dataset.name
            raise UsageError(
                f"{name} is planned with {key}={dealt}, and its folds serve all candidates",
                where=f"--set {key}={value}",
                todo=f"deal other folds first: ercpseg plan-and-preprocess {name} --set {key}={value}",
            )


def _check_folds(made: Plan, folds: Sequence[str]) -> tuple[str, ...]:
    """The folds as plain numbers, each once."""
    count, method = made.values.folds.count, made.values.folds.method
    for fold in folds:
        if not re.fullmatch("[0-9]{1,4}", fold) or int(fold) >= count or (count < 2 and method != "published"):
            expected = f"of 0 to {count - 1}, for example 0 or 0,1" if count > 1 else "a dataset with folds"
            raise UsageError(f"{fold[:16]!r} is no fold that holds frames out", where="--fold", expected=expected)
    numbers = tuple(sorted({int(fold) for fold in folds}))
    if not numbers:
        raise UsageError("no fold is named", where="--fold", expected="for example 0 or 0,1")
    return tuple(map(str, numbers))


def _candidate(
    space: Workspace,
    entry: Entry,
    trials: Sequence[Trial],
    records: Mapping[tuple[str, str], RunRecord],
) -> Candidate:
    mine = [trial for trial in trials if trial.entry.name == entry.name]
    runs = []
    for trial in mine:
        for (key, fold), record in records.items():
            if key == trial.trained.key:
                runs.append(
                    CandidateRun(
                        seed=trial.seed,
                        fold=fold,
                        plan_sha256=trial.trained.plan.sha256,
                        epochs=record.epochs,
                        iterations=record.iterations,
                        seconds=round(record.seconds, 3),
                        parameters=record.parameters,
                        folder=trial.trained.space.folder.relative_to(space.root).as_posix(),
                    )
                )
    others = [trial.same_as.entry.name for trial in mine if trial.same_as]
    return Candidate(
        recipe=entry.name,
        given=entry.given,
        recipe_sha256=entry.recipe.sha256,
        init_from=None if entry.start is None else entry.start.name,
        init_from_given=None if entry.start is None else entry.start.given,
        init_from_sha256=None if entry.start is None else entry.start.model.sha256,
        network=mine[0].plan.values.network.name,
        same_as=others[0] if len(others) == len(mine) else None,
        forward_ms=mine[0].trained.plan.values.inference.expected_latency_ms,
        runs=tuple(runs),
    )
