"""Our fingerprint and plan, handed to nnU-Net through its own planning API.

The API takes classes, not names, so nothing has to be registered or discovered. Both classes are bound to documents that
were computed before (``functools.partial``): nnU-Net's extraction opens a process pool and draws 10⁸ samples, ours is one
threaded pass over the frames.
"""

from __future__ import annotations

import contextlib
import io
import json
from functools import partial
from typing import Any

from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprint_dataset, plan_experiment_dataset

from ercpseg.documents.dataset import Dataset
from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.documents.plan import Plan
from ercpseg.nnunet import PLANS_NAME
from ercpseg.nnunet.convert import dataset_json, fingerprint_json, plans_json
from ercpseg.storage.atomic import write_text
from ercpseg.storage.workspace import Workspace


class ErcpFingerprintExtractor(DatasetFingerprintExtractor):
    """Writes our fingerprint where nnU-Net expects its own."""

    def __init__(self, *args: Any, workspace: Workspace, document: Fingerprint, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.workspace = workspace
        self.document = document

    def run(self, overwrite_existing: bool = False) -> dict[str, Any]:
        """Write ``dataset_fingerprint.json``; always the current one."""
        content = fingerprint_json(self.document)
        _write_json(self.workspace, self.document.dataset, "dataset_fingerprint.json", content)
        return content


class ErcpPlanner(ExperimentPlanner):
    """Writes our plan as nnU-Net's plans. The constructor's keyword names are nnU-Net's."""

    def __init__(self, *args: Any, workspace: Workspace, plan: Plan, fingerprint: Fingerprint, **kwargs: Any):
        super().__init__(*args, **{**kwargs, "plans_name": PLANS_NAME})
        self.workspace = workspace
        self.plan = plan
        self.fingerprint = fingerprint

    def plan_experiment(self) -> dict[str, Any]:
        """Write ``ErcpPlans.json`` and ``dataset.json`` into the preprocessed folder."""
        self.plans = plans_json(self.plan, self.fingerprint, self.dataset_name)
        _write_json(self.workspace, self.plan.dataset, "dataset.json", self.dataset_json)
        _write_json(self.workspace, self.plan.dataset, f"{PLANS_NAME}.json", self.plans)
        return self.plans


def write_raw_dataset_json(workspace: Workspace, dataset: Dataset, frames: list[str]) -> None:
    """Make the imported frames an nnU-Net raw dataset that its own commands accept too."""
    content = dataset_json(dataset, frames)
    write_text(workspace.raw_folder(dataset.name) / "dataset.json", json.dumps(content, indent=1) + "\n")


def write_nnunet_plans(
    workspace: Workspace, dataset: Dataset, plan: Plan, fingerprint: Fingerprint, splits: list[dict[str, list[str]]]
) -> None:
    """Fingerprint, plans and splits in nnU-Net's places, through its API. Folds are ours; nnU-Net never makes its own."""
    _write_json(workspace, dataset.name, "splits_final.json", splits)
    with workspace.nnunet_environment(), contextlib.redirect_stdout(io.StringIO()):
        extract_fingerprint_dataset(
            dataset.nnunet_id,
            fingerprint_extractor_class=partial(ErcpFingerprintExtractor, workspace=workspace, document=fingerprint),
            num_processes=1,
            show_progress_bar=False,
        )
        plan_experiment_dataset(
            dataset.nnunet_id,
            experiment_planner_class=partial(ErcpPlanner, workspace=workspace, plan=plan, fingerprint=fingerprint),
            preprocess_class_name="ErcpPreprocessor",
        )


def _write_json(workspace: Workspace, name: str, file: str, content: Any) -> None:
    # Key order carries meaning in dataset.json (regions follow it), so nothing is sorted.
    write_text(workspace.preprocessed_folder(name) / file, json.dumps(content, indent=1) + "\n")
