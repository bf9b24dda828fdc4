"""Candidates of a comparison: each a plan of its own beside the dataset's, planned once, prepared, trained."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ercpseg.documents.plan import Plan
from ercpseg.documents.run import RunRecord
from ercpseg.pipeline.entries import Entry, check_fits
from ercpseg.pipeline.known import REQUEST, Planned
from ercpseg.pipeline.prepare import PlanOptions, decide
from ercpseg.pipeline.store import check_windows, is_prepared, links_of, prepare_frames
from ercpseg.progress import Progress
from ercpseg.storage import documents
from ercpseg.storage.atomic import sha256_file, write_text
from ercpseg.storage.candidates import CandidateWorkspace
from ercpseg.storage.workspace import Workspace

if TYPE_CHECKING:
    from ercpseg.documents.dataset import FrameRecord
    from ercpseg.pipeline.compare import CompareOptions

NAME_LENGTH = 40
FOLD_KEYS = ("folds.count", "folds.method", "folds.grouped_by")


@dataclass(frozen=True)
class Machine:
    """What this machine has and what was measured on it, the same for every candidate."""

    memory_gb: float
    measured: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """An entry with one seed: where it lives and what it plans. ``same_as`` is an earlier trial that plans the same."""

    entry: Entry
    seed: int
    space: CandidateWorkspace
    plan: Plan
    same_as: Trial | None = None

    @property
    def key(self) -> str:
        """The name of its folder."""
        return self.space.folder.name

    @property
    def trained(self) -> Trial:
        """The trial whose training counts."""
        return self.same_as or self


def make_trial(  # all needed
    space: Workspace,
    planned: Planned,
    entry: Entry,
    seed: int,
    options: CompareOptions,
    machine: Machine,
    earlier: Sequence[Trial],
) -> Trial:
    """Plan one candidate, or read its plan: it is made once, since another measurement would be another plan."""
    # Folds are the dataset's, so that all are judged on the same frames.
    recipe = entry.recipe
    folds = {k: d.value for k in FOLD_KEYS if (d := planned.plan.decision(k)).by != "rule" or k in recipe.pins}
    overrides = {**dict(options.overrides), **folds, "schedule.seed": seed}
    asked = {
        "recipe": recipe.sha256,
        "fingerprint": planned.fingerprint.sha256,
        "splits": splits_sha256(space, planned.dataset.name),
        "time_budget_s": float(options.time_budget_s),
        "memory_gb": options.memory_gb and float(options.memory_gb),
        "device": options.device,
        "threads": options.threads,
        "overrides": overrides,
    }
    if entry.start is not None:
        asked["init_from"] = entry.start.model.sha256
    request = json.dumps(asked, sort_keys=True, indent=1) + "\n"
    name = re.sub("[^A-Za-z0-9_-]", "-", recipe.name)[:NAME_LENGTH].lstrip("_-") or "recipe"
    key = f"{name}-{seed}-{hashlib.sha256(request.encode()).hexdigest()[:8]}"
    own = CandidateWorkspace(space, planned.dataset.name, key)
    if (own.folder / REQUEST).exists():
        made = documents.load(own.folder / "plan.json", Plan)
    else:
        how = PlanOptions(
            recipe=entry.given,
            time_budget_s=options.time_budget_s,
            memory_gb=machine.memory_gb,
            device=options.device,
            overrides=tuple(overrides.items()),
            threads=options.threads,
        )
        made = decide(own, planned.dataset, planned.fingerprint, recipe, how, machine.measured)
        write_text(own.folder / REQUEST, request)
    if all(t.entry is not entry for t in earlier):  # seeds differ in nothing that a model could not fit
        check_fits(entry, made)
    others = (t for t in earlier if t.seed == seed and t.same_as is None and _began(t.entry) == _began(entry))
    return Trial(entry, seed, own, made, next((t for t in others if plan_alike(t.plan, made)), None))


def _began(entry: Entry) -> str | None:
    return None if entry.start is None else entry.start.model.sha256


def plan_alike(a: Plan, b: Plan) -> bool:
    """Whether two plans differ in nothing but what was measured for the schedule."""

    def told(made: Plan) -> dict[str, Any]:
        values = made.values.model_dump(exclude={"schedule": True, "inference": {"expected_latency_ms"}})
        return values | {d.key: d.value for d in made.decisions if d.key.startswith("schedule.") and d.by != "rule"}

    return told(a) == told(b)


def prepare_trial(trial: Trial, planned: Planned, used: list[FrameRecord], progress: Progress) -> None:
    """The plan in nnU-Net's words, and frames prepared as it asks; equal preparations share one store."""
    from ercpseg.nnunet.convert import plans_json

    dataset = planned.dataset
    if trial.same_as is not None:
        return
    space = Workspace(trial.space.root)  # frames and their report are the dataset's
    links = links_of(space, dataset, used)
    check_windows(links, trial.plan)
    content = plans_json(trial.plan, planned.fingerprint, trial.space.nnunet_name(dataset.name))
    write_text(trial.space.nnunet_plans_file(dataset.name), json.dumps(content, indent=1) + "\n")
    if not is_prepared(space, dataset, trial.plan, used):
        prepare_frames(space, dataset, trial.plan, used, links, progress=progress)


def train_trial(
    space: Workspace, trial: Trial, planned: Planned, fold: str, about: str, progress: Progress
) -> tuple[RunRecord, bool]:
    """The record of the trial's training, and whether it was trained just now."""
    from ercpseg.pipeline.learn import made_ready
    from ercpseg.training.model import export_model
    from ercpseg.training.run import TrainOptions, finished_record, train_fold

    record = finished_record(trial.space, trial.plan, fold)
    if record is not None:
        return record, False
    progress.say(about)
    start = trial.entry.start
    wanted = TrainOptions(init_from=None if start is None else start.model)
    options = made_ready(space, trial.plan, wanted, progress)
    record = train_fold(trial.space, planned.dataset, trial.plan, fold, options, progress=progress)
    export_model(trial.space, planned.dataset, trial.plan, planned.fingerprint)
    return record, True


def splits_sha256(space: Workspace, name: str) -> str:
    """Hash of the dataset's folds."""
    return sha256_file(space.preprocessed_folder(name) / "splits_final.json")
