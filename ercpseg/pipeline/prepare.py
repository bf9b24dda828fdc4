"""``plan-and-preprocess``: import → fingerprint → plan → preprocess, each skipped when its inputs have not changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.documents.plan import NetworkValues, Plan
from ercpseg.documents.recipe import Recipe
from ercpseg.errors import DataError, UsageError
from ercpseg.pipeline.known import Planned, load_records, locate
from ercpseg.progress import SILENT, Progress
from ercpseg.storage import documents
from ercpseg.storage.atomic import write_text
from ercpseg.storage.workspace import Workspace

REQUEST = "plan-request.json"


@dataclass(frozen=True)
class PlanOptions:
    """What a person may say about the plan."""

    recipe: str = "auto"
    time_budget_s: float | None = None
    memory_gb: float | None = None
    device: str = "auto"
    overrides: tuple[tuple[str, Any], ...] = ()
    threads: int = 2
    structures: tuple[str, ...] | None = None
    line_width_px: float = 3.0


def plan(
    dataset: str | Path,
    *,
    name: str | None = None,
    workspace: Workspace | str | Path | None = None,
    options: PlanOptions = PlanOptions(),
    progress: Progress = SILENT,
) -> Planned:
    """Import a dataset, fingerprint it, plan its training and prepare its frames.

    ``dataset`` is a folder, or the name of a dataset that the workspace holds. The same call again does nothing.

    Raises
    ------
    DataError
        when nothing in the folder can be used.
    WorkspaceBusy
        when another run holds the workspace.
    """
    space = workspace if isinstance(workspace, Workspace) else Workspace.default(workspace)
    source, name = locate(dataset, name, space)
    _check_options(options)
    with space.locked():
        return _plan(space, source, name, options, progress)


def _check_options(options: PlanOptions) -> None:
    """Refuse what makes no sense before a long import begins."""
    from ercpseg.planner.pins import check_pins
    from ercpseg.planner.recipes import load_recipe

    load_recipe(options.recipe)
    check_pins(dict(options.overrides), where="--set")
    if options.device not in ("auto", "cpu"):  # these two are always there, and asking takes seconds
        resolve_device(options.device)


def _plan(space: Workspace, source: Path | None, name: str, options: PlanOptions, progress: Progress) -> Planned:
    from ercpseg.fingerprint.collect import fingerprint_dataset
    from ercpseg.importers.dataset import import_dataset

    folder = space.dataset_folder(name)
    if source is not None:
        _check_same(space, name, source)
        dataset = import_dataset(
            source,
            space,
            name,
            structures=options.structures,
            line_width_px=options.line_width_px,
            progress=progress,
        )
    elif (folder / "dataset.json").exists():
        dataset = documents.load(folder / "dataset.json", Dataset)
    else:
        raise DataError("the import of this dataset did not finish", where=name, todo="give its folder again")
    records = [r for r in load_records(space, name) if r.status == "used"]
    fingerprint = _known(folder / "fingerprint.json", Fingerprint)
    if fingerprint is None or fingerprint.frames_sha256 != dataset.frames_sha256:
        raw = space.raw_folder(name)
        fingerprint = fingerprint_dataset(dataset, raw, records, progress=progress, threads=options.threads)
        documents.save(folder / "fingerprint.json", fingerprint)
    from ercpseg.planner.recipes import load_recipe

    recipe = load_recipe(options.recipe)
    request = _request(options, recipe, fingerprint)
    old = _known(folder / "plan.json", Plan)
    if old is not None and not _same(folder, request):
        changed = "other options" if old.frames_sha256 == dataset.frames_sha256 else "other frames"
        progress.say(f"{name} was planned with {changed}; folds that are trained already will not count any more")
    if old is not None and _same(folder, request) and _prepared(space, name, old):
        return Planned(dataset, fingerprint, old, folder, fresh=False)
    made = _decide(space, dataset, fingerprint, records, recipe, options)
    _prepare(space, dataset, made, fingerprint, records, options, progress)
    # Last, so that a plan is only taken as finished when everything after it is done.
    write_text(folder / REQUEST, request)
    return Planned(dataset, fingerprint, made, folder, fresh=True)


def _check_same(space: Workspace, name: str, source: Path) -> None:
    """Refuse a folder that shares no file with the dataset of this name: it would replace it and its model.

    Raises
    ------
    UsageError
        for another folder under a name that is taken.
    """
    if name not in space.names() or not (space.dataset_folder(name) / "dataset.json").exists():
        return
    from ercpseg.importers.frames import count_hint

    used = [record.source for record in load_records(space, name) if record.status == "used"]
    if used and not any((source / known).exists() for known in used) and count_hint(source):
        raise UsageError(
            f"the name {name} is taken by a dataset of which no file is in this folder",
            where=source,
            todo="give another name with --name",
        )


def _decide(
    space: Workspace,
    dataset: Dataset,
    fingerprint: Fingerprint,
    records: list[FrameRecord],
    recipe: Recipe,
    options: PlanOptions,
) -> Plan:
    from ercpseg.planner.budget import Budget, StepCost
    from ercpseg.planner.explain import to_markdown
    from ercpseg.planner.plan import make_plan
    from ercpseg.training.cost import measure_step

    device = resolve_device(options.device)

    def measure(network: NetworkValues, patch: tuple[int, int], batch: int, heads: int) -> StepCost:
        return StepCost(*measure_step(network, patch, batch, heads, device=device))

    budget = Budget(
        device=device,
        memory_gb=available_memory_gb(device) if options.memory_gb is None else options.memory_gb,
        time_budget_s=options.time_budget_s,
        threads=options.threads,
    )
    made = make_plan(fingerprint, recipe, budget, measure, dict(options.overrides))
    if made.values.heads.structures != dataset.structures:
        raise UsageError(
            f"heads.structures are {', '.join(made.values.heads.structures)}",
            where="--set or recipe",
            expected=f"{', '.join(dataset.structures)}: all structures of the dataset in the order of their bits",
        )
    folder = space.dataset_folder(dataset.name)
    documents.save(folder / "plan.json", made)
    write_text(folder / "plan.md", to_markdown(made))
    return made


def _prepare(
    space: Workspace,
    dataset: Dataset,
    made: Plan,
    fingerprint: Fingerprint,
    records: list[FrameRecord],
    options: PlanOptions,
    progress: Progress,
) -> None:
    from ercpseg.fingerprint.collect import structures_by_frame
    from ercpseg.nnunet.planning import write_nnunet_plans, write_raw_dataset_json
    from ercpseg.nnunet.preprocessor import preprocess
    from ercpseg.planner.splits import make_splits

    frames = [record.frame for record in records]
    write_raw_dataset_json(space, dataset, frames)
    present = structures_by_frame(
        space.raw_folder(dataset.name), records, dataset.structure_set, threads=options.threads
    )
    splits = make_splits(records, made.values.folds, present, made.values.schedule.seed)
    write_nnunet_plans(space, dataset, made, fingerprint, splits)
    preprocess(space, dataset, made, frames, threads=options.threads, progress=progress)


def resolve_device(name: str) -> Literal["cpu", "cuda", "mps"]:
    """``auto`` → the device that training will use here."""
    from ercpseg.inference.predictor import choose_device

    return cast(Literal["cpu", "cuda", "mps"], choose_device(name).type)


def available_memory_gb(device: str) -> float:
    """Memory that a training may take: the GPU's, or most of what is free here."""
    if device == "cuda":
        import torch

        return float(torch.cuda.mem_get_info()[0]) / 1e9
    import psutil

    return float(psutil.virtual_memory().available) / 1e9 * 0.7


def _same(folder: Path, request: str) -> bool:
    """Whether the last finished plan answered this very question."""
    return (folder / REQUEST).exists() and (folder / REQUEST).read_text() == request


def _request(options: PlanOptions, recipe: Recipe, fingerprint: Fingerprint) -> str:
    """What was asked for, so that the same question is not answered twice."""
    asked = {
        "recipe": recipe.sha256,
        "fingerprint": fingerprint.sha256,
        "time_budget_s": options.time_budget_s and float(options.time_budget_s),  # 2 and 2.0 are one question
        "memory_gb": options.memory_gb and float(options.memory_gb),
        "device": options.device,
        "overrides": dict(options.overrides),
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return json.dumps({**asked, "sha256": digest}, sort_keys=True, indent=1) + "\n"


def _prepared(space: Workspace, name: str, made: Plan) -> bool:
    from ercpseg.nnunet.convert import data_identifier
    from ercpseg.nnunet.store import read_index

    try:
        read_index(space.preprocessed_folder(name) / data_identifier(made))
    except DataError:
        return False
    return True


def _known(path: Path, kind: type[Any]) -> Any:
    """The document at ``path``, or None when it is missing or of an older schema."""
    try:
        return documents.load(path, kind) if path.exists() else None
    except DataError:
        return None
