"""Makes a model folder of the folds that are trained, with what was tuned on their held-out frames."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ercpseg.documents.dataset import Dataset
from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.documents.plan import Plan
from ercpseg.documents.run import FoldWeights, ModelCard
from ercpseg.documents.tuning import Tuning, apply_tuning, stale_because
from ercpseg.errors import DataError, UsageError
from ercpseg.storage import documents
from ercpseg.storage.arrays import decode_arrays
from ercpseg.storage.atomic import read_bytes
from ercpseg.storage.models import StoredModel, write_model
from ercpseg.storage.workspace import Workspace
from ercpseg.training.run import finished_record, run_folder
from ercpseg.version import __version__


def export_model(workspace: Workspace, dataset: Dataset, plan: Plan, fingerprint: Fingerprint) -> Path:
    """Collect every finished fold of ``plan`` into the workspace's model folder; returns it.

    A tuning that still counts (:func:`current_tuning`) is merged into the model's plan.
    """
    weights, entries = {}, []
    for fold in [*(str(i) for i in range(plan.values.folds.count)), "all"]:
        found = _fold(workspace, plan, fold)
        if found is not None:
            entries.append(found[0])
            weights[found[0].file] = found[1]
    tuning, _ = current_tuning(workspace, plan)
    plan = plan if tuning is None else apply_tuning(plan, tuning)
    folder = workspace.model_folder(dataset.name)
    write_model(folder, plan, _card(dataset, plan, fingerprint, tuple(entries)), weights)
    return folder


def fold_model(workspace: Workspace, dataset: Dataset, plan: Plan, fingerprint: Fingerprint, fold: str) -> StoredModel:
    """The model of one finished fold alone, by the plan as it was trained with.

    Raises
    ------
    UsageError
        when the fold is not trained.
    """
    found = _fold(workspace, plan, fold)
    if found is None:
        raise UsageError(
            f"fold {fold} is not trained", where=dataset.name, todo=f"run ercpseg train {dataset.name} {fold}"
        )
    entry, data = found
    arrays, _ = decode_arrays(data, where=run_folder(workspace, dataset.name, fold) / "weights.safetensors")
    return StoredModel(plan, _card(dataset, plan, fingerprint, (entry,)), {fold: arrays}, entry.sha256)


def trained_folds(workspace: Workspace, plan: Plan) -> dict[str, str]:
    """Finished folds of ``plan`` that hold frames out (``all`` holds none), with the SHA-256 of their weights."""
    found = (_fold(workspace, plan, str(i)) for i in range(plan.values.folds.count))
    return {entry[0].fold: entry[0].sha256 for entry in found if entry is not None}


def current_tuning(workspace: Workspace, plan: Plan) -> tuple[Tuning | None, str | None]:
    """The tuning of the plan's dataset while it counts; else None, and why it does not (None where there is none)."""
    path = workspace.tuning_file(plan.dataset)
    if not path.exists():
        return None, None
    try:
        tuning = documents.load(path, Tuning)
    except DataError:
        return None, "another version wrote it"
    stale = stale_because(tuning, plan.sha256, trained_folds(workspace, plan))
    return (None, stale) if stale else (tuning, None)


def _fold(workspace: Workspace, plan: Plan, fold: str) -> tuple[FoldWeights, bytes] | None:
    """The entry of a finished fold and its weights as bytes."""
    record = finished_record(workspace, plan, fold)
    if record is None:
        return None
    data = read_bytes(run_folder(workspace, plan.dataset, fold) / "weights.safetensors")
    entry = FoldWeights(
        fold=fold,
        file=f"fold_{fold}.safetensors",
        sha256=hashlib.sha256(data).hexdigest(),
        epochs=record.epochs,
        iterations=record.iterations,
        seed=record.seed,
        began_from=record.transfer and record.transfer.model_sha256,
    )
    return entry, data


def _mixed(plan: Plan) -> str:
    sampling = plan.values.sampling
    if not (sampling.synthetic_frac and sampling.synthetic_frames):
        return ""
    share = f"{100 * sampling.synthetic_frac:.3g} % of every batch"
    return f"; {sampling.synthetic_frames} synthetic frames ({sampling.synthetic_domain}), {share}"


def _card(dataset: Dataset, plan: Plan, fingerprint: Fingerprint, folds: tuple[FoldWeights, ...]) -> ModelCard:
    return ModelCard.new(
        name=dataset.name,
        structures=plan.values.heads.structures,
        ercpseg_version=__version__,
        plan_sha256=plan.sha256,
        frames=fingerprint.frames,
        patients=fingerprint.patients,
        folds=folds,
        training_data=f"dataset {dataset.name}, {fingerprint.frames} frames, grouped by {fingerprint.grouped_by}{_mixed(plan)}",
        limits=tuple(fingerprint.warnings),
        reference_long_side_px=fingerprint.reference_long_side_px,
        ranges=fingerprint.of_structures(plan.values.heads.structures).ranges,
    )
