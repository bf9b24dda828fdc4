"""The workspace: one folder that holds everything between the stages, and nnU-Net's three roots inside it.

::

    workspace.json                      dataset names and the numbers that nnU-Net wants
    datasets/NAME/                      dataset.json frames.csv fingerprint.json plan.json plan.md tuning.json
    models/NAME/                        plan.json model.json fold_0.safetensors … SHA256SUMS
    nnunet/raw/DatasetNNN_NAME/         canonical frames (imagesTr) and bitmasks (labelsTr)
    nnunet/preprocessed/DatasetNNN_NAME/
    nnunet/results/DatasetNNN_NAME/     runs: log.jsonl curve.png state.* validation/ out-of-fold/
    compare/NAME/                       other plans of the dataset, see storage/candidates.py
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from ercpseg.documents.base import Document
from ercpseg.errors import StorageError, UsageError
from ercpseg.storage import documents
from ercpseg.storage.atomic import remove_leftovers
from ercpseg.storage.lock import locked

ENVIRONMENT_VARIABLE = "ERCPSEG_WORKSPACE"
DEFAULT = "ercpseg-workspace"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}")


class WorkspaceIndex(Document):
    """``workspace.json``."""

    SCHEMA: ClassVar[str] = "ercpseg.workspace/1"
    datasets: dict[str, int] = Field(default_factory=dict)


class Workspace:
    """Names every file that stages exchange. Making one touches nothing."""

    def __init__(self, root: Path | str):
        self.root = Path(root).resolve()

    @classmethod
    def default(cls, root: Path | str | None = None) -> Workspace:
        """``root`` if given, else ``$ERCPSEG_WORKSPACE``, else ``./ercpseg-workspace``."""
        return cls(root or os.environ.get(ENVIRONMENT_VARIABLE) or DEFAULT)

    # -- datasets ----------------------------------------------------------------------------------------------------

    @property
    def index(self) -> WorkspaceIndex:
        """The datasets known here."""
        path = self.root / "workspace.json"
        return documents.load(path, WorkspaceIndex) if path.exists() else WorkspaceIndex.new()

    def names(self) -> list[str]:
        """The names of the datasets known here."""
        return sorted(self.index.datasets)

    def register(self, name: str) -> int:
        """The number of dataset ``name``; a new name gets the next free one."""
        check_name(name)
        index = self.index
        if name in index.datasets:
            return index.datasets[name]
        number = max(index.datasets.values(), default=0) + 1
        documents.save(self.root / "workspace.json", WorkspaceIndex.new(datasets={**index.datasets, name: number}))
        return number

    def dataset_folder(self, name: str) -> Path:
        """Documents of one dataset."""
        return self.root / "datasets" / check_name(name)

    def tuning_file(self, name: str) -> Path:
        """What was tuned on out-of-fold predictions of one dataset; there is none before that."""
        return self.dataset_folder(name) / "tuning.json"

    def scratch_folder(self) -> Path:
        """Where throw-away files lie that may name patients; only the owner may look in."""
        folder = self.root / ".scratch"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"the workspace cannot be written: {error.strerror or type(error).__name__}",
                where=self.root,
                todo="check the permissions or use another --workspace",
            ) from error
        remove_leftovers(folder)
        return folder

    def model_folder(self, name: str) -> Path:
        """The model trained on one dataset."""
        return self.root / "models" / check_name(name)

    def nnunet_name(self, name: str) -> str:
        """``DatasetNNN_name``, as nnU-Net wants it. The dataset must be registered."""
        return f"Dataset{self.index.datasets[name]:03d}_{name}"

    def raw_folder(self, name: str) -> Path:
        """Canonical frames and bitmasks, an nnU-Net raw dataset."""
        return self.root / "nnunet" / "raw" / self.nnunet_name(name)

    def preprocessed_folder(self, name: str) -> Path:
        """nnU-Net's preprocessed folder of the dataset."""
        return self.root / "nnunet" / "preprocessed" / self.nnunet_name(name)

    def results_folder(self, name: str) -> Path:
        """nnU-Net's results folder of the dataset: one sub-folder per trainer, plan and fold."""
        return self.results_root / self.nnunet_name(name)

    @property
    def results_root(self) -> Path:
        """Where nnU-Net puts the runs of all datasets."""
        return self.root / "nnunet" / "results"

    def nnunet_plans_file(self, name: str) -> Path:
        """The plan of the dataset in nnU-Net's words."""
        return self.preprocessed_folder(name) / "ErcpPlans.json"

    # -- use ---------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace; another run that wants it gets ``WorkspaceBusy`` at once; see :mod:`ercpseg.storage.lock`."""
        with locked(self.root, "workspace", "another --workspace"):
            yield

    @contextlib.contextmanager
    def nnunet_environment(self, processes: int = 1) -> Iterator[None]:
        """Point nnU-Net's three roots here and restore the environment afterwards. Not for use from several threads."""
        base = self.root / "nnunet"
        new = {
            "nnUNet_raw": str(base / "raw"),
            "nnUNet_preprocessed": str(base / "preprocessed"),
            "nnUNet_results": str(self.results_root),
            "nnUNet_n_proc_DA": str(max(1, processes)),
            "nnUNet_def_n_proc": str(max(1, processes)),
            "nnUNet_compile": "false",
        }
        old = {key: os.environ.get(key) for key in new}
        os.environ.update(new)
        try:
            yield
        finally:
            for key, value in old.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value


def check_name(name: str) -> str:
    """Return ``name`` if it can name a dataset.

    Raises
    ------
    UsageError
        otherwise: a name becomes part of paths, so only plain letters, digits, ``_`` and ``-`` are taken.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:64]!r} cannot name a dataset",
            expected="letters, digits, _ and -, at most 60 characters, beginning with a letter or digit",
            todo="give another name with --name",
        )
    return name
