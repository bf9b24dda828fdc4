"""Makes a model folder of the folds that are trained."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ercpseg.documents.dataset import Dataset
from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.documents.plan import Plan
from ercpseg.documents.run import FoldWeights, ModelCard
from ercpseg.storage.atomic import read_bytes
from ercpseg.storage.models import write_model
from ercpseg.storage.workspace import Workspace
from ercpseg.training.run import finished_record, run_folder
from ercpseg.version import __version__


def export_model(workspace: Workspace, dataset: Dataset, plan: Plan, fingerprint: Fingerprint) -> Path:
    """Collect every finished fold of ``plan`` into the workspace's model folder; returns it."""
    weights, entries = {}, []
    for fold in [*(str(i) for i in range(plan.values.folds.count)), "all"]:
        record = finished_record(workspace, plan, fold)
        if record is None:
            continue
        file = f"fold_{fold}.safetensors"
        weights[file] = read_bytes(run_folder(workspace, dataset.name, fold) / "weights.safetensors")
        digest = hashlib.sha256(weights[file]).hexdigest()
        entries.append(
            FoldWeights(
                fold=fold,
                file=file,
                sha256=digest,
                epochs=record.epochs,
                iterations=record.iterations,
                seed=record.seed,
            )
        )
    card = ModelCard.new(
        name=dataset.name,
        structures=dataset.structures,
        ercpseg_version=__version__,
        plan_sha256=plan.sha256,
        frames=fingerprint.frames,
        patients=fingerprint.patients,
        folds=tuple(entries),
        training_data=f"dataset {dataset.name}, {fingerprint.frames} frames, grouped by {fingerprint.grouped_by}",
        limits=tuple(fingerprint.warnings),
    )
    folder = workspace.model_folder(dataset.name)
    write_model(folder, plan, card, weights)
    return folder
