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
from ercpseg.pipeline.bring import bring_in
from ercpseg.pipeline.known import REQUEST, Located, Planned, locate, trainable, used_records
from ercpseg.pipeline.store import check_windows, is_prepared, links_of, prepare_frames
from ercpseg.planner.splits import Splits
from ercpseg.progress import SILENT, Progress
from ercpseg.storage import documents
from ercpseg.storage.atomic import write_text
from ercpseg.storage.workspace import Workspace
from ercpseg.synthesis.catalogue import find_domain

MEASURES = ".fingerprint-measures.sqlite"
"""Beside the fingerprint: measures of single frames, so that only new frames are measured. It may be deleted."""


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
    keep_names: bool = False
    hold_out_from: str | None = None
    latency_budget_ms: float | None = None


def plan(
    dataset: str | Path,
    *,
    name: str | None = None,
    root: Path | None = None,
    workspace: Workspace | str | Path | None = None,
    options: PlanOptions = PlanOptions(),
    progress: Progress = SILENT,
) -> Planned:
    """Import a dataset, fingerprint it, plan its training and prepare its frames.

    ``dataset`` is a folder, a descriptor (whose paths start at ``root``), or the name of a dataset that the workspace
    holds. The same call again does nothing.

    Raises
    ------
    DataError
        when nothing in the folder can be used.
    WorkspaceBusy
        when another run holds the workspace.
    """
    space = workspace if isinstance(workspace, Workspace) else Workspace.default(workspace)
    located = locate(dataset, name, space, root)
    _check_options(options)
    with space.locked():
        return _plan(space, located, options, progress)


def _hint_at_hold_out(dataset: Dataset, used: list[FrameRecord], progress: Progress) -> None:
    """Tell of a test by date where one can be had and nobody asked for one: it is the only test of what comes later."""
    if dataset.hold_out_from is not None:
        return
    from ercpseg.planner.hold_out import suggest_hold_out

    day = suggest_hold_out(used)
    if day is not None:
        progress.say(
            f"hint: all frames have dates; --hold-out {day} would keep the last tenth of the patients for testing (R30)"
        )


def _check_options(options: PlanOptions) -> None:
    """Refuse what makes no sense before a long import begins."""
    from ercpseg.planner.pins import check_pins
    from ercpseg.planner.recipes import load_recipe

    load_recipe(options.recipe)
    check_pins(dict(options.overrides), where="--set")
    if options.device not in ("auto", "cpu"):  # these two are always there, and asking takes seconds
        resolve_device(options.device)


def _plan(space: Workspace, located: Located, options: PlanOptions, progress: Progress) -> Planned:
    from ercpseg.fingerprint.collect import measure_dataset, measured_sha256
    from ercpseg.importers.dataset import ImportOptions
    from ercpseg.nnunet.planning import write_nnunet_plans, write_raw_dataset_json

    name = located.name
    folder = space.dataset_folder(name)
    wanted = ImportOptions(
        options.structures,
        options.line_width_px,
        keep_names=options.keep_names,
        hold_out_from=options.hold_out_from,
    )
    dataset = bring_in(space, located, wanted, progress)
    used = used_records(space, dataset)
    _hint_at_hold_out(dataset, used, progress)
    records = trainable(used)
    fingerprint = _known(folder / "fingerprint.json", Fingerprint)
    known = (dataset.frames_sha256, measured_sha256(records))
    if fingerprint is None or (fingerprint.frames_sha256, fingerprint.measured_sha256) != known:
        from ercpseg.reporting.fingerprint_files import write_fingerprint_pictures

        fingerprint, detail = measure_dataset(
            dataset,
            space.raw_folder(name),
            records,
            kept_at=folder / MEASURES,
            progress=progress,
            threads=options.threads,
        )
        write_fingerprint_pictures(folder, fingerprint, detail.histograms, detail.widths_px, detail.atlas)
        documents.save(folder / "fingerprint.json", fingerprint)
    from ercpseg.planner.recipes import load_recipe

    recipe = load_recipe(options.recipe)
    request = _request(options, recipe, fingerprint)
    old = _known(folder / "plan.json", Plan)
    if old is not None and _same(folder, request) and is_prepared(space, dataset, old, used):
        return Planned(dataset, fingerprint, old, folder, fresh=False)
    made = decide(space, dataset, fingerprint, recipe, options, write=False)
    links = links_of(space, dataset, used)
    check_windows(links, made)
    splits = _split(space, dataset, made, used, options)
    # Nothing can be refused from here on, and a plan without its request counts as not finished.
    if old is not None and not _same(folder, request):
        changed = "other options" if old.frames_sha256 == dataset.frames_sha256 else "other frames"
        progress.say(f"{name} was planned with {changed}; folds that are trained already will not count any more")
    (folder / REQUEST).unlink(missing_ok=True)
    _write(folder, made)
    write_raw_dataset_json(space, dataset, [record.frame for record in records])
    for warning in splits.warnings:
        progress.say(f"warning: {warning}")
    write_nnunet_plans(space, dataset, made, fingerprint, list(splits.folds))
    prepare_frames(space, dataset, made, used, links, threads=options.threads, progress=progress)
    # Last, so that a plan is only taken as finished when everything after it is done.
    write_text(folder / REQUEST, request)
    return Planned(dataset, fingerprint, made, folder, fresh=True)


def decide(
    space: Workspace,
    dataset: Dataset,
    fingerprint: Fingerprint,
    recipe: Recipe,
    options: PlanOptions,
    measured: dict[Any, Any] | None = None,
    *,
    write: bool = True,
) -> Plan:
    """Make the plan, and write it into the dataset's folder of ``space`` unless ``write`` says otherwise.

    Plans that are given the same ``measured`` share measurements of this machine, so that equal choices get equal times.
    """
    from ercpseg.planner.budget import Budget, StepCost
    from ercpseg.planner.plan import make_plan
    from ercpseg.training.cost import measure_forward, measure_step

    device, known = resolve_device(options.device), {} if measured is None else measured

    def measure(network: NetworkValues, patch: tuple[int, int], batch: int, heads: int, frames: int) -> StepCost:
        key = (device, network.model_dump_json(), patch, batch, heads, frames)
        if key not in known:
            known[key] = StepCost(*measure_step(network, patch, batch, heads, frames=frames, device=device))
        return known[key]  # type: ignore[no-any-return]

    def forward(network: NetworkValues, tile: tuple[int, int], heads: int, frames: int) -> float:
        key = (device, network.model_dump_json(), tile, heads, frames)
        if key not in known:
            known[key] = 1000 * measure_forward(network, tile, heads, frames=frames, device=device)
        return known[key]  # type: ignore[no-any-return]

    budget = Budget(
        device=device,
        memory_gb=available_memory_gb(device) if options.memory_gb is None else options.memory_gb,
        time_budget_s=options.time_budget_s,
        threads=options.threads,
        latency_ms=options.latency_budget_ms,
    )
    made = make_plan(fingerprint, recipe, budget, measure, dict(options.overrides), forward=forward)
    if (made.values.heads.of or made.values.heads.structures) != dataset.structures:
        raise UsageError(
            f"the structures are {', '.join(made.values.heads.of or made.values.heads.structures)}",
            where="--set or recipe",
            expected=f"{', '.join(dataset.structures)}: all structures of the dataset in the order of their bits",
        )
    _check_layers(made)
    for domain in (made.values.sampling.synthetic_domain, made.values.transfer.pretrain_domain):
        find_domain(domain)  # a name that does not exist is refused now, not after hours
    if write:
        _write(space.dataset_folder(dataset.name), made)
    return made


def _check_layers(made: Plan) -> None:
    """Refuse to let more layers learn than the planned network has."""
    transfer = made.values.transfer
    if transfer.scheme != "deepest":
        return
    from ercpseg.networks import build_network
    from ercpseg.networks.transfer import layers_of

    frames = made.values.input.frames
    count = len(layers_of(build_network(made.values.network, list(made.heads), input_channels=frames), frames))
    if transfer.layers > count:
        raise UsageError(
            f"{transfer.layers} layers of {made.values.network.name} are to learn",
            where="transfer.layers",
            expected=f"1 to {count}, which are all",
        )


def _write(folder: Path, made: Plan) -> None:
    from ercpseg.planner.explain import to_markdown

    documents.save(folder / "plan.json", made)
    write_text(folder / "plan.md", to_markdown(made))


def _split(space: Workspace, dataset: Dataset, made: Plan, used: list[FrameRecord], options: PlanOptions) -> Splits:
    """The folds, which may be refused."""
    from ercpseg.fingerprint.collect import structures_by_frame
    from ercpseg.planner.splits import make_splits

    present = structures_by_frame(
        space.raw_folder(dataset.name), trainable(used), dataset.structure_set, threads=options.threads
    )
    return make_splits(used, made.values.folds, present, made.values.schedule.seed)


def resolve_device(name: str) -> Literal["cpu", "cuda", "mps"]:
    """``auto`` → the device that training will use here."""
    from ercpseg.inference.devices import choose_device

    return cast(Literal["cpu", "cuda", "mps"], choose_device(name))


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
        "latency_budget_ms": options.latency_budget_ms and float(options.latency_budget_ms),
        "overrides": dict(options.overrides),
    }
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    return json.dumps({**asked, "sha256": digest}, sort_keys=True, indent=1) + "\n"


def _known(path: Path, kind: type[Any]) -> Any:
    """The document at ``path``, or None when it is missing or of an older schema."""
    try:
        return documents.load(path, kind) if path.exists() else None
    except DataError:
        return None
