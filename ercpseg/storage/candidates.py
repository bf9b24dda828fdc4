"""Where a comparison keeps its candidates: plans of a dataset beside the dataset's own.

::

    compare/NAME/compare.json compare.csv …        the study that was run last
    compare/NAME/studies/STUDY/                    study.json, and what came of it: compare.json, tables, report.md
    compare/NAME/RECIPE-SEED-HASH/                 plan.json plan.md plan-request.json ErcpPlans.json model/ results/

A candidate is a workspace in a workspace: frames, annotations, folds and prepared frames are the dataset's (equal
preparations share a store, see :func:`ercpseg.nnunet.convert.data_identifier`); plan, runs and model are its own. The
hash is over all that was asked for, so that another budget is another candidate and nothing is ever overwritten. Studies
share candidates, and each keeps its own results.
"""

from __future__ import annotations

from pathlib import Path

from ercpseg.storage.workspace import Workspace, check_name


def comparison_folder(workspace: Workspace, name: str) -> Path:
    """Where comparisons of dataset ``name`` lie."""
    return workspace.root / "compare" / check_name(name)


def study_folder(workspace: Workspace, name: str, study: str) -> Path:
    """Where the results of one study of dataset ``name`` lie."""
    return comparison_folder(workspace, name) / "studies" / check_name(study)


class CandidateWorkspace(Workspace):
    """The workspace ``parent`` as one candidate of dataset ``name`` sees it. Making one touches nothing."""

    def __init__(self, parent: Workspace, name: str, key: str):
        super().__init__(parent.root)
        self.folder = comparison_folder(parent, name) / check_name(key)

    def dataset_folder(self, name: str) -> Path:
        """The candidate's plan and what it was made by."""
        return self.folder

    def model_folder(self, name: str) -> Path:
        """The candidate's model."""
        return self.folder / "model"

    def nnunet_plans_file(self, name: str) -> Path:
        """The candidate's plan in nnU-Net's words; beside its plan, since the dataset's own lies with the prepared frames."""
        return self.folder / "ErcpPlans.json"

    @property
    def results_root(self) -> Path:
        """The candidate's runs."""
        return self.folder / "results"
